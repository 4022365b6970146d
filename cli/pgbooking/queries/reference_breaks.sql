-- Minutes and dates as in reference_working_hours.
select
  staff_id, location_id, weekday,
  (extract(epoch from start_time) / 60)::integer as start_minute,
  (extract(epoch from end_time) / 60)::integer as end_minute,
  least(greatest(valid_from, %(from_date)s), %(until_date)s + 1) as valid_from,
  greatest(least(valid_until, %(until_date)s), %(from_date)s - 1) as valid_until
from booking.breaks
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id is null or staff_id = any (%(staff_ids)s))
