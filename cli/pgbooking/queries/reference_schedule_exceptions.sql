-- Minutes and dates as in reference_working_hours.
select
  staff_id, location_id,
  greatest(first_date, %(from_date)s) as first_date,
  least(last_date, %(until_date)s) as last_date,
  kind,
  (extract(epoch from start_time) / 60)::integer as start_minute,
  (extract(epoch from end_time) / 60)::integer as end_minute
from booking.schedule_exceptions
where tenant_id = %(tenant_id)s
  and (%(staff_ids)s::uuid[] is null or staff_id is null or staff_id = any (%(staff_ids)s))
  and first_date <= %(until_date)s
  and last_date >= %(from_date)s
