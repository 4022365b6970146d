copy booking.busy_times (tenant_id, staff_id, start_time, end_time, external_id) from stdin
