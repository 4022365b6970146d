-- Some free slots of each person, each with a service of its shape, in an order that "dice" decides:
-- by what a slot is, not by its id, which follows from the random id of its shape.
select
  person.staff_id, s.id, s.location_id, s.shape_id, s.start_time, s.end_time,
  lower(s.claim) as claim_start, upper(s.claim) as claim_end, s.capacity,
  t.id as appointment_type_id, t.buffer_before_minutes, t.buffer_after_minutes
from unnest(%(staff_ids)s::uuid[]) with ordinality as person(staff_id, place)
cross join lateral (
  select free.*, key.draw
  from booking.availability_slots free
  cross join lateral (
    select md5(concat_ws(
      '/', extract(epoch from free.start_time), free.duration_minutes,
      extract(epoch from upper(free.claim)), free.capacity, %(dice)s::text
    )) as draw
  ) as key
  where free.tenant_id = %(tenant_id)s and free.staff_id = person.staff_id
    and free.is_available and free.start_time > booking.now()
  order by key.draw
  limit %(candidates)s
) as s
cross join lateral (
  select offered.*
  from booking.appointment_types offered
  join booking.staff_appointment_types o
    on o.tenant_id = offered.tenant_id and o.appointment_type_id = offered.id
    and o.staff_id = person.staff_id
  where offered.tenant_id = %(tenant_id)s and offered.shape_id = s.shape_id
  order by offered.code
  limit 1
) as t
order by person.place, s.draw
