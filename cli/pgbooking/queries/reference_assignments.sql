select staff_id, appointment_type_id
from booking.staff_appointment_types
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id = any (%(staff_ids)s))
