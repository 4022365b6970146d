-- Refreshes the local dates on which these claims or busy times can make a difference: their own,
-- in every zone the tenant works in, widened by the longest claim and the longest travel time (a
-- slot that overlaps them may begin that much earlier), and one day more on either side, because
-- overnight pieces of working time hang their grid on the date before. Locks those calendars.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
create or replace function booking.refresh_around(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_periods tstzrange[],
  p_grid_stands boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
-- Planned once a session: to plan costs more than what is planned.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id) + make_interval(mins => (
    select coalesce(max(t.buffer_before_minutes + t.duration_minutes + t.buffer_after_minutes), 0)
    from booking.appointment_types t
    where t.tenant_id = p_tenant_id
  ));
  v_dates daterange[];
begin
  select array_agg((
    select daterange(
      min(((lower(p.period) - v_reach) at time zone z.zone)::date) - 1,
      max(((upper(p.period) + v_reach) at time zone z.zone)::date) + 1,
      '[]'
    )
    from (
      select coalesce(l.timezone, t.timezone) as zone
      from booking.tenants t
      left join booking.locations l on l.tenant_id = t.id
      where t.id = p_tenant_id
      group by 1
    ) as z
  ) order by p.position)
  into v_dates
  from unnest(p_periods) with ordinality as p(period, position);

  if cardinality(v_dates) = 1 then
    perform booking.refresh_slots(
      p_tenant_id, p_staff_ids, lower(v_dates[1]), upper(v_dates[1]) - 1
    );
  else
    perform booking.refresh_dates(p_tenant_id, p_staff_ids, v_dates);
  end if;
end
$$;

comment on function booking.refresh_around(uuid, uuid[], tstzrange[], boolean) is
  'Refreshes p_staff_ids[i] around p_periods[i]; a person may occur several times.';
