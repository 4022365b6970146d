select s.id, s.external_id, s.display_name as name
from booking.staff s
where s.tenant_id = %(tenant_id)s
