-- The causes that differences on record have had.
select distinct d.cause
from booking.verification_differences d
where d.tenant_id = %(tenant_id)s and d.cause is not null
order by d.cause
