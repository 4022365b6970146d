copy booking.staff (tenant_id, id, display_name) from stdin
