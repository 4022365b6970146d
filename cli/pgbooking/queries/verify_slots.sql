-- How many published rows one calendar has.
select count(*)
from booking.availability_slots s
where s.tenant_id = %(tenant_id)s and s.staff_id = %(staff_id)s
