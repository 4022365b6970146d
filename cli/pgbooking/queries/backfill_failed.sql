update booking.refresh_queue q
set attempts = q.attempts + 1, last_error = %(error)s
where q.tenant_id = %(tenant_id)s and q.staff_id = %(staff_id)s
