update booking.tenants set precompute_days = %(days)s where id = %(tenant_id)s
