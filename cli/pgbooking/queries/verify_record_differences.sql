copy booking.verification_differences (
  tenant_id, run_id, promise, kind, staff_id, slot_id, start_time, published, expected, reason,
  cause, accepted_at
) from stdin
