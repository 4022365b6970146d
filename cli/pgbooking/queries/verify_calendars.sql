-- The calendars to verify, and whether they wait in the queue, which leaves them out.
select
  c.staff_id, s.display_name, c.materialized_until,
  exists (
    select from booking.refresh_queue q
    where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
  ) as is_queued
from booking.calendars c
join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id
where c.tenant_id = %(tenant_id)s
  and (%(staff_id)s::uuid is null or c.staff_id = %(staff_id)s)
order by s.display_name, c.staff_id
