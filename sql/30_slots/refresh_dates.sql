-- Refreshes different local dates of different people of one tenant: what a statement changed, one
-- recalculation per stretch of dates, or one for all where that would be many (a bulk load is one
-- set-based pass). Locks those calendars, in staff_id order.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
create or replace function booking.refresh_dates(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_dates daterange[],
  p_grid_stands boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_stretches constant integer := 16;
  v_stretches integer;
  v_staff_ids uuid[];
  v_dates daterange;
begin
  perform booking.lock_calendars(p_tenant_id, p_staff_ids);

  select count(*) into v_stretches
  from (
    select unnest(range_agg(change.dates))
    from unnest(p_staff_ids, p_dates) as change(staff_id, dates)
    group by change.staff_id
  ) as stretch;

  if v_stretches > c_most_stretches then
    select array_agg(distinct change.staff_id), range_merge(range_agg(change.dates))
    into v_staff_ids, v_dates
    from unnest(p_staff_ids, p_dates) as change(staff_id, dates);

    perform booking.refresh_slots(
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1
    );
    return;
  end if;

  for v_staff_ids, v_dates in
    select array_agg(s.staff_id), s.dates
    from (
      select change.staff_id, unnest(range_agg(change.dates)) as dates
      from unnest(p_staff_ids, p_dates) as change(staff_id, dates)
      group by change.staff_id
    ) as s
    group by s.dates
  loop
    perform booking.refresh_slots(
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1
    );
  end loop;
end
$$;

comment on function booking.refresh_dates(uuid, uuid[], daterange[], boolean) is
  'Refreshes p_dates[i] (local dates) of p_staff_ids[i]; a person may occur several times.';
