select l.id, l.external_id, l.name
from booking.locations l
where l.tenant_id = %(tenant_id)s
