-- Which causes somebody has accepted, and when.
select a.cause, a.accepted_at
from booking.accepted_causes a
where a.tenant_id = %(tenant_id)s
