-- One person's published rows, for the independent calculator: a day more than any zone's today.
select
  s.id as slot_id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, lower(s.claim) as claim_start, upper(s.claim) as claim_end, s.capacity,
  s.seats_left, s.is_available, s.bookable_from, s.bookable_until, s.reserved_until,
  s.reserved_by_session, s.appointment_id
from booking.availability_slots s
where s.tenant_id = %(tenant_id)s and s.staff_id = %(staff_id)s
  and s.start_time >= %(now)s::timestamptz - interval '3 days'
