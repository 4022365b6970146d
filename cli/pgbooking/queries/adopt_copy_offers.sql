select booking_adoption.copy_offers(%(tenant_id)s, %(staff_id)s)
