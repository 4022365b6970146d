update booking.tenants set is_active = true where id = %(tenant_id)s
