copy booking.schedule_exceptions (
  tenant_id, staff_id, first_date, last_date, kind, start_time, end_time, note
) from stdin
