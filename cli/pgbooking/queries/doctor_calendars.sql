-- Calendars that the night has forgotten: published up to an earlier date than two hours after
-- their tenant's refresh_hour. Beyond that date slots are still calculated when they are asked for.
with behind as (
  select c.tenant_id, c.staff_id, c.materialized_until
  from booking.tenants t
  join booking.calendars c on c.tenant_id = t.id
  join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id and s.is_active
  where t.is_active
    and c.materialized_until < (
      (booking.now() - make_interval(hours => t.refresh_hour + 2)) at time zone t.timezone
    )::date + least(t.precompute_days, t.booking_horizon_days)
    and not exists (
      select from booking.refresh_queue q where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
    )
)
select 'calendars' as "check", 'warning' as level,
  format('%%s calendars were not published last night, the oldest only up to %%s.',
    count(*), min(b.materialized_until)) as message,
  'pgbooking jobs run nightly_refresh' as advice
from behind b
having count(*) > 0
