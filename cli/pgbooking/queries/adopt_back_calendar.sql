select booking_adoption.back_calendar(%(tenant_id)s, %(staff_id)s)
