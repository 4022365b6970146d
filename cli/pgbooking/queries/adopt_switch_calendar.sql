select booking_adoption.switch_calendar(%(tenant_id)s, %(staff_id)s)
