copy booking.price_rules (
  tenant_id, id, weekdays, start_time, end_time, max_lead_minutes, adjustment_percent, priority,
  stacks
) from stdin
