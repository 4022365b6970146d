-- breaks: one person's are recalculated until the horizon; a break for everyone is a wide change
-- (schedule_changed).

create or replace trigger breaks_1_check_caller
before insert or update or delete on booking.breaks
for each row execute function booking.check_caller();

create or replace trigger breaks_2_lock_schedule
before insert or update or delete on booking.breaks
for each row execute function booking.lock_schedule_of_row();

create or replace trigger breaks_3_touch_updated_at
before update on booking.breaks
for each row execute function booking.touch_updated_at();

create or replace trigger breaks_refuse_other_key
before update of tenant_id, id on booking.breaks
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger breaks_refuse_truncate
before truncate on booking.breaks
for each statement execute function booking.refuse_truncate();

create or replace trigger breaks_inserted
after insert on booking.breaks
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger breaks_updated
after update on booking.breaks
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger breaks_deleted
after delete on booking.breaks
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();
