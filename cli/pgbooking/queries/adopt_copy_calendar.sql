select booking_adoption.copy_calendar(%(tenant_id)s, %(staff_id)s)
