-- Everything that an anonymous client has to ask.
select s.id, s.start_time
from api.availability_slots s
where s.tenant_id = %(tenant_id)s and s.staff_id = %(staff_id)s and s.shape_id = %(shape_id)s
  and s.start_time >= %(first_start)s and s.start_time < %(end_of_starts)s
order by s.start_time
