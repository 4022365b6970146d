select id, shape_id, capacity, is_active
from booking.appointment_types
where tenant_id = %(tenant_id)s
