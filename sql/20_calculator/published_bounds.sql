-- Between which instants rows of availability_slots exist for each person and place: from the
-- location's today to the calendar's materialized_until, cut to the local dates asked for. With
-- p_beyond the days after those that can be booked all the same, to the location's today +
-- booking_horizon_days. Reads only.
create or replace function booking.published_bounds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_beyond boolean default false
) returns table (
  staff_id uuid,
  location_id uuid,
  zone text,
  tenant_zone text,
  booking_horizon_days integer,
  first_start timestamptz,
  end_of_starts timestamptz
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
begin
  return query
  select c.staff_id, l.id, l.zone, l.tenant_zone, l.booking_horizon_days,
    booking.first_instant(
      greatest(p_from, l.today, case when p_beyond then c.materialized_until + 1 end), l.zone
    ),
    booking.first_instant(
      least(p_to, case
        when p_beyond then l.today + l.booking_horizon_days else c.materialized_until
      end) + 1,
      l.zone
    )
  from booking.calendars c
  cross join (
    select loc.id, coalesce(loc.timezone, t.timezone) as zone, t.timezone as tenant_zone,
      t.booking_horizon_days,
      (v_now at time zone coalesce(loc.timezone, t.timezone))::date as today
    from booking.locations loc
    join booking.tenants t on t.id = loc.tenant_id
    where loc.tenant_id = p_tenant_id
  ) as l
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids);
end
$$;

comment on function booking.published_bounds(uuid, uuid[], date, date, boolean) is
  'For each person and place the first instant and the end of what is published, or (p_beyond) of
what is not though it can be booked.';
