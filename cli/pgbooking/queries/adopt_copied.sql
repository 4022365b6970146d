update booking_adoption.tenants t
set copied_at = booking.now()
where t.tenant_id = any (%(tenant_ids)s)
