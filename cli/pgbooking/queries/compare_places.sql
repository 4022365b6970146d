-- The tenant's places, each with its zone.
select l.id, coalesce(l.timezone, t.timezone) as time_zone
from booking.locations l
join booking.tenants t on t.id = l.tenant_id
where l.tenant_id = %(tenant_id)s
