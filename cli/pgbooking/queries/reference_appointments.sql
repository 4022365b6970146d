select
  id, staff_id, location_id, shape_id, slot_id, start_time, status,
  least(end_time, %(until_time)s) as end_time,
  greatest(lower(claim), %(from_time)s) as claim_start,
  least(upper(claim), %(until_time)s) as claim_end
from booking.appointments
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id = any (%(staff_ids)s))
  and claim && tstzrange(%(from_time)s, %(until_time)s)
