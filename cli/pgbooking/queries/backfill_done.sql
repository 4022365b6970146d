delete from booking.refresh_queue q
where q.tenant_id = %(tenant_id)s and q.staff_id = %(staff_id)s
