insert into booking.verification_runs (
  tenant_id, started_at, finished_at, is_independent, calendars, calendars_queued, slots, differences
)
values (
  %(tenant_id)s, %(started_at)s, booking.now(), %(is_independent)s, %(calendars)s,
  %(calendars_queued)s, %(slots)s, %(differences)s
)
returning id
