-- The local day of an instant at a place, by half hours: free where a published slot of that kind
-- can be booked, else taken where it is working time, else off.
with day as (
  select p.zone, (%(at)s::timestamptz at time zone p.zone)::date as local_date
  from (
    select coalesce(l.timezone, t.timezone) as zone
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    where l.tenant_id = %(tenant_id)s and l.id = %(location_id)s
  ) as p
),
half_hours as (
  select starts_at, tstzrange(starts_at, starts_at + interval '30 minutes') as period, d.zone
  from day d
  cross join generate_series(
    booking.first_instant(d.local_date, d.zone),
    booking.first_instant(d.local_date + 1, d.zone) - interval '1 microsecond',
    interval '30 minutes'
  ) as starts_at
),
free as materialized (
  select range_agg(tstzrange(s.start_time, s.end_time)) as periods
  from day d
  cross join booking.find_open_slots(
    %(tenant_id)s::uuid, array[%(staff_id)s::uuid], %(location_id)s::uuid,
    array(
      select y.shape_id
      from booking.appointment_types y
      where y.tenant_id = %(tenant_id)s and y.code = %(appointment_type)s
    ),
    d.local_date, d.local_date, null, null, 10000
  ) s
),
working as materialized (
  select range_agg(tstzrange(w.starts_at, w.ends_at)) as periods
  from day d
  cross join booking.working_time(
    %(tenant_id)s::uuid, array[%(staff_id)s::uuid], d.local_date - 2, d.local_date + 1
  ) w
  where w.location_id = %(location_id)s
)
select
  (h.starts_at at time zone h.zone)::time as local_time,
  case when h.period && f.periods then 'free' when h.period && w.periods then 'taken' else 'off' end
    as state,
  h.period @> %(at)s::timestamptz as is_asked
from half_hours h
cross join free f
cross join working w
order by h.starts_at
