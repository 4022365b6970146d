-- How many rows of the published table begin then, whoever may see them.
select count(*)
from booking.availability_slots s
where s.tenant_id = %(tenant_id)s
  and s.start_time >= %(first_start)s and s.start_time < %(end_of_starts)s
