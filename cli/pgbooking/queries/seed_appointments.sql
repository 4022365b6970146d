copy booking.appointments (
  tenant_id, id, staff_id, location_id, appointment_type_id, shape_id, slot_id, status, customer,
  start_time, end_time, buffer_before_minutes, buffer_after_minutes, price_cents
) from stdin
