select booking.finish_events(%(tenant_ids)s::uuid[], %(ids)s::uuid[])
