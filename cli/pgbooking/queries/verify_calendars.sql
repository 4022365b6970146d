-- The calendars to verify, until when they can be booked wherever that is (a zone may be a date
-- ahead), and whether they wait in the queue, which leaves them out.
select
  c.staff_id, s.display_name, c.materialized_until,
  (booking.now() at time zone t.timezone)::date + t.booking_horizon_days + 1 as bookable_until,
  exists (
    select from booking.refresh_queue q
    where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
  ) as is_queued
from booking.calendars c
join booking.tenants t on t.id = c.tenant_id
join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id
where c.tenant_id = %(tenant_id)s
  and (%(staff_id)s::uuid is null or c.staff_id = %(staff_id)s)
order by s.display_name, c.staff_id
