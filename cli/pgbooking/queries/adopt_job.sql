-- What waits in the queue is followed each minute, by whatever runs the jobs.
insert into booking.jobs (name, schedule, command, late_after_minutes, description)
values (
  'follow_old_system', '* * * * *', 'select booking_adoption.follow_queued()', 10,
  'Follows what waits of the system that pgbooking takes over from'
)
on conflict (name) do nothing
