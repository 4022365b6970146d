-- Minutes of the day because Python's times end before 24:00, dates cut to the period (and a day on
-- either side) because its dates end with the year 9999.
select
  staff_id, location_id, weekday,
  (extract(epoch from start_time) / 60)::integer as start_minute,
  (extract(epoch from end_time) / 60)::integer as end_minute,
  least(greatest(valid_from, %(from_date)s), %(until_date)s + 1) as valid_from,
  greatest(least(valid_until, %(until_date)s), %(from_date)s - 1) as valid_until
from booking.working_hours
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id = any (%(staff_ids)s))
