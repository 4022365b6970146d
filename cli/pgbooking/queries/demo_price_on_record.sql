select a.price_cents
from api.appointments a
where a.tenant_id = %(tenant_id)s and a.id = %(appointment_id)s
