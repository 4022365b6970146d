-- working_hours: the tenant is shared and the calendar locked row by row; after the statement the
-- person is recalculated until the horizon (schedule_changed).

create or replace trigger working_hours_1_check_caller
before insert or update or delete on booking.working_hours
for each row execute function booking.check_caller();

create or replace trigger working_hours_2_lock_schedule
before insert or update or delete on booking.working_hours
for each row execute function booking.lock_schedule_of_row();

create or replace trigger working_hours_3_touch_updated_at
before update on booking.working_hours
for each row execute function booking.touch_updated_at();

create or replace trigger working_hours_refuse_other_key
before update of tenant_id, id on booking.working_hours
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger working_hours_refuse_truncate
before truncate on booking.working_hours
for each statement execute function booking.refuse_truncate();

create or replace trigger working_hours_inserted
after insert on booking.working_hours
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger working_hours_updated
after update on booking.working_hours
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger working_hours_deleted
after delete on booking.working_hours
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();
