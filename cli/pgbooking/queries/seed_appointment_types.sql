copy booking.appointment_types (
  tenant_id, id, code, name, duration_minutes, buffer_before_minutes, buffer_after_minutes,
  price_cents, capacity
) from stdin
