select k.tenant, k.external_id from booking_adoption.keys_to_copy(%(section)s) k
