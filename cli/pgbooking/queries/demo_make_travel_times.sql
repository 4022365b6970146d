copy booking.travel_times (tenant_id, from_location_id, to_location_id, minutes) from stdin
