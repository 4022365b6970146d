select id, timezone, is_active, slot_alignment, booking_horizon_days
from booking.tenants
where id = %(tenant_id)s
