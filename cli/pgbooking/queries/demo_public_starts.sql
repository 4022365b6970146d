-- Everything that an anonymous client has to ask.
select s.start_time
from api.availability_slots s
where s.tenant_id = %(tenant_id)s and s.staff_id = %(staff_id)s
  and s.duration_minutes = %(duration_minutes)s and s.is_available
  and s.start_time >= %(first_start)s and s.start_time < %(end_of_starts)s
order by s.start_time
