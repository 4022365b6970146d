-- The days that are looked at, and their zone: the mapping's, else the location's, else the one of
-- the places where the person works, if it is one, else the tenant's. Without dates from so many days
-- back to the horizon.
select
  zone.name as time_zone, dates.first_date, dates.last_date,
  booking.first_instant(dates.first_date::timestamp, zone.name) as start_time,
  booking.first_instant((dates.last_date + 1)::timestamp, zone.name) as end_time
from booking.tenants t
cross join lateral (
  select coalesce(
    %(time_zone)s,
    (
      select coalesce(l.timezone, t.timezone)
      from booking.locations l
      where l.tenant_id = t.id and l.id = %(location_id)s
    ),
    (
      select min(coalesce(l.timezone, t.timezone))
      from booking.working_hours h
      join booking.locations l on l.tenant_id = h.tenant_id and l.id = h.location_id
      where h.tenant_id = t.id and h.staff_id = %(staff_id)s
      having count(distinct coalesce(l.timezone, t.timezone)) = 1
    ),
    t.timezone
  ) as name
) as zone
cross join lateral (
  select
    coalesce(%(first_date)s::date, today.date - %(days_back)s::integer) as first_date,
    coalesce(%(last_date)s::date, today.date + t.booking_horizon_days) as last_date
  from (select (booking.now() at time zone zone.name)::date as date) as today
) as dates
where t.id = %(tenant_id)s
