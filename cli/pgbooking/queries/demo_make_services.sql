copy booking.appointment_types (
  tenant_id, id, code, name, duration_minutes, min_notice_minutes, max_advance_days, price_cents
) from stdin
