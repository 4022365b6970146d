-- AFTER STATEMENT trigger of the tables that make up schedules: weekly hours, breaks, exceptions
-- and who offers what. Rows of one person are recalculated at once: an exception's own dates and
-- one on either side (overnight pieces hang on the date before), anything weekly until the
-- horizon. Rows for everyone concern many and are refreshed or queued. Runs as the owner because
-- only the owner writes slots; the row triggers hold the locks.
create or replace function booking.schedule_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_rows jsonb[];
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_dates daterange[];
  v_location_ids uuid[];
begin
  if tg_op = 'UPDATE' then
    v_rows := array(
      select to_jsonb(o) from old_rows o union select to_jsonb(n) from changed_rows n
    );
  else
    v_rows := array(select to_jsonb(c) from changed_rows c);
  end if;

  for v_tenant_id, v_location_ids in
    select (r.content ->> 'tenant_id')::uuid, array_agg((r.content ->> 'location_id')::uuid)
    from unnest(v_rows) as r(content)
    where r.content ->> 'staff_id' is null
    group by 1
  loop
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, v_location_ids), tg_table_name || ' changed'
    );
  end loop;

  for v_tenant_id, v_staff_ids, v_dates in
    select (r.content ->> 'tenant_id')::uuid,
      array_agg((r.content ->> 'staff_id')::uuid),
      array_agg(daterange(
        (r.content ->> 'first_date')::date - 1,
        (r.content ->> 'last_date')::date + 1 + case
          when (r.content ->> 'end_time')::time <= (r.content ->> 'start_time')::time then 1 else 0
        end,
        '[]'
      ))
    from unnest(v_rows) as r(content)
    where r.content ->> 'staff_id' is not null
    group by 1
  loop
    perform booking.refresh_dates(v_tenant_id, v_staff_ids, v_dates);
  end loop;
  return null;
end
$$;
