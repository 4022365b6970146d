select
  staff_id,
  greatest(start_time, %(from_time)s) as start_time,
  least(end_time, %(until_time)s) as end_time
from booking.busy_times
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id = any (%(staff_ids)s))
  and start_time < %(until_time)s
  and end_time > %(from_time)s
