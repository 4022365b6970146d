copy booking.breaks (tenant_id, staff_id, weekday, start_time, end_time) from stdin
