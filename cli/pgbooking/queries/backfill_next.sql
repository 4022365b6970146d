-- Locks the next queued calendar. Those that another session is working on are left to it.
select q.tenant_id, q.staff_id, q.reason
from booking.refresh_queue q
where q.tenant_id = any (%(tenant_ids)s)
  and (%(staff_id)s::uuid is null or q.staff_id = %(staff_id)s)
  and (q.tenant_id, q.staff_id) > (%(after_tenant_id)s, %(after_staff_id)s)
order by q.tenant_id, q.staff_id
limit 1
for update skip locked
