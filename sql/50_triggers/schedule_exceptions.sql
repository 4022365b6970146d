-- schedule_exceptions: one person's dates are recalculated; one for everyone is a wide change
-- (schedule_changed).

create or replace trigger schedule_exceptions_1_check_caller
before insert or update or delete on booking.schedule_exceptions
for each row execute function booking.check_caller();

create or replace trigger schedule_exceptions_2_lock_schedule
before insert or update or delete on booking.schedule_exceptions
for each row execute function booking.lock_schedule_of_row();

create or replace trigger schedule_exceptions_3_touch_updated_at
before update on booking.schedule_exceptions
for each row execute function booking.touch_updated_at();

create or replace trigger schedule_exceptions_refuse_other_key
before update of tenant_id, id on booking.schedule_exceptions
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger schedule_exceptions_refuse_truncate
before truncate on booking.schedule_exceptions
for each statement execute function booking.refuse_truncate();

create or replace trigger schedule_exceptions_inserted
after insert on booking.schedule_exceptions
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger schedule_exceptions_updated
after update on booking.schedule_exceptions
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger schedule_exceptions_deleted
after delete on booking.schedule_exceptions
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();
