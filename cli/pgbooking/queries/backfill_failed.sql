select booking.queue_failed(%(tenant_id)s, %(staff_id)s, %(reason)s, %(error)s)
