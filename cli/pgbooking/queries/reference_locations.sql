select id, timezone, is_active
from booking.locations
where tenant_id = %(tenant_id)s
