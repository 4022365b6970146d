select count(*) as slots, count(*) filter (where s.is_available) as offered
from booking.availability_slots s
where s.tenant_id = %(tenant_id)s
