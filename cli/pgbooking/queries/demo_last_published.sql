-- The last local date of which an anonymous client sees rows.
select max((s.start_time at time zone %(timezone)s)::date)
from api.availability_slots s
where s.tenant_id = %(tenant_id)s
