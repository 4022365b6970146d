-- These have just been refreshed in the same transaction, under their locks.
delete from booking.refresh_queue q
where q.tenant_id = %(tenant_id)s and q.staff_id = any (%(staff_ids)s)
