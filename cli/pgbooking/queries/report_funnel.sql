-- From search to booking: altogether, by appointment type, and by person (name null: none named).
with counts as (
  select
    case when grouping(f.appointment_type_id) = 0 then 'appointment_type'
      when grouping(f.staff_id) = 0 then 'staff'
      else 'all' end as by,
    f.appointment_type_id, f.staff_id,
    sum(f.searches)::bigint as searches,
    sum(f.searches_without_result)::bigint as searches_without_result,
    sum(f.holds)::bigint as holds,
    sum(f.bookings)::bigint as bookings,
    sum(f.kept)::bigint as kept,
    sum(f.timed_bookings)::bigint as timed_bookings,
    (sum(f.seconds_to_book * f.timed_bookings) / nullif(sum(f.timed_bookings), 0))::float8
      as seconds_to_book
  from api.booking_funnel f
  where f.tenant_id = %(tenant_id)s and f.date between %(first_date)s and %(last_date)s
  group by grouping sets ((), (f.appointment_type_id), (f.staff_id))
)
select
  c.by,
  coalesce(y.name, s.display_name, c.appointment_type_id::text, c.staff_id::text) as name,
  coalesce(c.searches, 0) as searches,
  coalesce(c.searches_without_result, 0) as searches_without_result,
  coalesce(c.holds, 0) as holds,
  coalesce(c.bookings, 0) as bookings,
  coalesce(c.kept, 0) as kept,
  coalesce(c.timed_bookings, 0) as timed_bookings,
  c.seconds_to_book
from counts c
left join booking.appointment_types y
  on y.tenant_id = %(tenant_id)s and y.id = c.appointment_type_id
left join booking.staff s on s.tenant_id = %(tenant_id)s and s.id = c.staff_id
order by c.by, c.bookings desc, c.holds desc, c.searches desc, name
