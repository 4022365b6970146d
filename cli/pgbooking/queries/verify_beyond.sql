-- One person's slots of the days after the published ones, as a listing calculates them, for the
-- independent calculator.
select
  booking.slot_id(
    %(tenant_id)s, s.staff_id, s.location_id, s.start_time, s.shape_id
  ) as slot_id,
  s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, lower(s.claim) as claim_start, upper(s.claim) as claim_end, s.capacity,
  s.seats_left, s.is_available, s.bookable_from, s.bookable_until, s.reserved_until,
  s.reserved_by_session, s.appointment_id
from booking.expected_slots(
  %(tenant_id)s, array[%(staff_id)s]::uuid[], null, null, p_beyond => true
) s
