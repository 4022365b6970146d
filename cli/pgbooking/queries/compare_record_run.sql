-- A comparison with the system that pgbooking takes over from. What verify_record_run writes, an older
-- release has, too.
insert into booking.verification_runs (
  tenant_id, started_at, finished_at, calendars, calendars_queued, slots, differences, compared_with
)
values (
  %(tenant_id)s, %(started_at)s, booking.now(), %(calendars)s, %(calendars_queued)s, %(slots)s,
  %(differences)s, 'legacy'
)
returning id
