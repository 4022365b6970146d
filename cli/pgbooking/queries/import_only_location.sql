-- The place of rows that name none is clear where the tenant has but one.
select l.id
from booking.locations l
where l.tenant_id = %(tenant_id)s and l.is_active
