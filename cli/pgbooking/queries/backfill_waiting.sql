-- How many of the chosen calendars are in the queue.
select count(*)
from booking.refresh_queue q
where q.tenant_id = any (%(tenant_ids)s)
  and (%(staff_id)s::uuid is null or q.staff_id = %(staff_id)s)
