-- With all that the listing told of it, as days need that are not published.
select api.reserve_slot(
  tenant_id => %(tenant_id)s,
  slot_id => %(slot_id)s,
  session_id => %(session_id)s,
  appointment_type => %(appointment_type)s,
  staff_id => %(staff_id)s,
  location_id => %(location_id)s,
  start_time => %(start_time)s
)
