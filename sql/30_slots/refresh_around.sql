-- Refreshes the local dates on which these claims or busy times can make a difference: their own,
-- in every zone the tenant works in, widened by the longest claim and the longest travel time (a
-- slot that overlaps them may begin that much earlier), and one day more on either side, because
-- overnight pieces of working time hang their grid on the date before. Where only holds have
-- changed (p_grid_stands) no grid moves, and the dates that they overlap are enough, unless
-- somebody has a day limit: then a slot of the night before may end on a day that is full. Locks
-- those calendars.
create or replace function booking.refresh_around(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_periods tstzrange[],
  p_grid_stands boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id) + make_interval(mins => (
    select coalesce(max(t.buffer_before_minutes + t.duration_minutes + t.buffer_after_minutes), 0)
    from booking.appointment_types t
    where t.tenant_id = p_tenant_id
  ));
  v_more_days integer := case
    when p_grid_stands and not exists (
      select
      from booking.staff s
      where s.tenant_id = p_tenant_id and s.id = any (p_staff_ids)
        and s.max_appointments_per_day is not null
    ) then 0
    else 1
  end;
  v_dates daterange[];
begin
  select array_agg((
    select daterange(
      min(((lower(p.period) - v_reach) at time zone z.zone)::date) - v_more_days,
      max(((upper(p.period) + v_reach) at time zone z.zone)::date) + v_more_days,
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

  perform booking.refresh_dates(p_tenant_id, p_staff_ids, v_dates, p_grid_stands);
end
$$;

comment on function booking.refresh_around(uuid, uuid[], tstzrange[], boolean) is
  'Refreshes p_staff_ids[i] around p_periods[i]; a person may occur several times.';
