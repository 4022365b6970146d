-- A day worth showing: within a fortnight, one person's, with free and taken starts of a single slot
-- of the service that is offered most.
with starts as (
  select
    s.staff_id, s.shape_id, s.is_available,
    (s.start_time at time zone %(timezone)s)::date as local_date
  from booking.availability_slots s
  where s.tenant_id = %(tenant_id)s and s.capacity = 1
    and s.start_time > booking.now() + interval '1 day'
    and s.start_time < booking.now() + interval '15 days'
)
select
  d.staff_id, p.display_name, d.shape_id, t.code as appointment_type, t.duration_minutes,
  d.local_date::timestamp at time zone %(timezone)s as first_start,
  (d.local_date + 1)::timestamp at time zone %(timezone)s as end_of_starts
from (
  select
    s.staff_id, s.shape_id, s.local_date,
    count(*) filter (where s.is_available) as free,
    count(*) filter (where not s.is_available) as taken
  from starts s
  group by s.staff_id, s.shape_id, s.local_date
) as d
join booking.staff p on p.tenant_id = %(tenant_id)s and p.id = d.staff_id
cross join lateral (
  select offered.*
  from booking.appointment_types offered
  join booking.staff_appointment_types o
    on o.tenant_id = offered.tenant_id and o.appointment_type_id = offered.id
    and o.staff_id = d.staff_id
  where offered.tenant_id = %(tenant_id)s and offered.shape_id = d.shape_id
  order by offered.code
  limit 1
) as t
where d.free >= 8
order by abs(d.taken - 6), abs(t.duration_minutes - 30), d.local_date, p.display_name
limit 1
