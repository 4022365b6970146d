-- busy_times: the calendar is locked row by row, and after the statement the days around
-- what was busy and what is busy now are recalculated. Runs as the owner because only the owner
-- writes slots.
create or replace function booking.busy_times_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_periods tstzrange[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_periods in
      select c.tenant_id, array_agg(c.staff_id), array_agg(tstzrange(c.start_time, c.end_time))
      from (
        select * from old_rows
        union all
        select * from changed_rows
      ) as c
      group by c.tenant_id
    loop
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_periods in
    select c.tenant_id, array_agg(c.staff_id), array_agg(tstzrange(c.start_time, c.end_time))
    from changed_rows c
    group by c.tenant_id
  loop
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
  end loop;
  return null;
end
$$;

create or replace trigger busy_times_1_check_caller
before insert or update or delete on booking.busy_times
for each row execute function booking.check_caller();

create or replace trigger busy_times_2_lock_calendar
before insert or update or delete on booking.busy_times
for each row execute function booking.lock_calendar_of_row();

create or replace trigger busy_times_3_touch_updated_at
before update on booking.busy_times
for each row execute function booking.touch_updated_at();

create or replace trigger busy_times_refuse_other_key
before update of tenant_id, id on booking.busy_times
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger busy_times_refuse_truncate
before truncate on booking.busy_times
for each statement execute function booking.refuse_truncate();

create or replace trigger busy_times_inserted
after insert on booking.busy_times
referencing new table as changed_rows
for each statement execute function booking.busy_times_changed();

create or replace trigger busy_times_updated
after update on booking.busy_times
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.busy_times_changed();

create or replace trigger busy_times_deleted
after delete on booking.busy_times
referencing old table as changed_rows
for each statement execute function booking.busy_times_changed();
