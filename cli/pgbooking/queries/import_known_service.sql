select t.id, t.external_id, t.code as name
from booking.appointment_types t
where t.tenant_id = %(tenant_id)s
