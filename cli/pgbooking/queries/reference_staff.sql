select id, is_active, max_appointments_per_day, compact_schedule
from booking.staff
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or id = any (%(staff_ids)s))
