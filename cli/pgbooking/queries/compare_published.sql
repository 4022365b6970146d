-- What these people can be booked for at this moment: published slots, each under the offers (a
-- service, so many minutes, or just anything) by which that person can be booked for it.
with bookable_as as materialized (
  select distinct o.number as offer, a.staff_id, y.shape_id
  from unnest(%(offers)s::integer[], %(type_ids)s::uuid[], %(minutes)s::integer[])
    as o(number, type_id, minutes)
  join booking.appointment_types y
    on y.tenant_id = %(tenant_id)s and y.is_active and y.id = coalesce(o.type_id, y.id)
    and y.duration_minutes = coalesce(o.minutes, y.duration_minutes)
  join booking.staff_appointment_types a
    on a.tenant_id = %(tenant_id)s and a.appointment_type_id = y.id
  where a.staff_id = any (%(staff_ids)s::uuid[])
)
select distinct on (s.start_time, s.staff_id, b.offer, s.location_id)
  s.id as slot_id, s.staff_id, b.offer, s.location_id, s.shape_id, s.start_time, s.end_time
from booking.find_open_slots(
  %(tenant_id)s, %(staff_ids)s::uuid[], null, null, %(from_date)s, %(to_date)s, null, null,
  2147483647
) s
join bookable_as b on b.staff_id = s.staff_id and b.shape_id = s.shape_id
order by s.start_time, s.staff_id, b.offer, s.location_id, s.end_time, s.id
