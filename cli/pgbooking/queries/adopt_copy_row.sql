select booking_adoption.copy_row(%(section)s, %(tenant)s, %(external_id)s)
