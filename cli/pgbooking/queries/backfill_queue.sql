-- Puts the chosen calendars into the queue. One that is there already keeps its reason.
insert into booking.refresh_queue (tenant_id, staff_id, reason)
select c.tenant_id, c.staff_id, %(reason)s
from booking.calendars c
where c.tenant_id = any (%(tenant_ids)s)
  and (%(staff_id)s::uuid is null or c.staff_id = %(staff_id)s)
order by c.tenant_id, c.staff_id
on conflict (tenant_id, staff_id) do nothing
