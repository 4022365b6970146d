copy booking.locations (tenant_id, id, name) from stdin
