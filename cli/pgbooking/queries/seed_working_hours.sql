copy booking.working_hours (
  tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) from stdin
