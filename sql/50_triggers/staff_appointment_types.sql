-- staff_appointment_types: whoever begins or ceases to offer something is recalculated until the
-- horizon (schedule_changed).

create or replace trigger staff_appointment_types_1_check_caller
before insert or update or delete on booking.staff_appointment_types
for each row execute function booking.check_caller();

create or replace trigger staff_appointment_types_2_lock_schedule
before insert or update or delete on booking.staff_appointment_types
for each row execute function booking.lock_schedule_of_row();

create or replace trigger staff_appointment_types_refuse_other_key
before update of tenant_id on booking.staff_appointment_types
for each row when (old.tenant_id <> new.tenant_id)
execute function booking.refuse_other_key();

create or replace trigger staff_appointment_types_refuse_truncate
before truncate on booking.staff_appointment_types
for each statement execute function booking.refuse_truncate();

create or replace trigger staff_appointment_types_inserted
after insert on booking.staff_appointment_types
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger staff_appointment_types_updated
after update on booking.staff_appointment_types
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger staff_appointment_types_deleted
after delete on booking.staff_appointment_types
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();
