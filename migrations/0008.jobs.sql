-- The jobs themselves, and when a calendar that failed is tried again.
-- depends: 0007.engine

set local role booking_owner;

-- Whoever comes after a statement that waits for a table waits behind it.
do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

alter table booking.jobs
  add column description text not null default '',
  add column late_after_minutes integer not null default 1560,
  add constraint late_after_minutes_is_positive check (late_after_minutes > 0);

comment on table booking.jobs is
  'The one list of jobs, for pg_cron or `pgbooking scheduler`: schedule is a cron expression in UTC;
command a SELECT that does a small step of the job and returns how many rows it did, 0 when nothing
is left (booking.run_job repeats it, a transaction each); a job is late when its last run began more
than late_after_minutes ago.';

insert into booking.jobs (name, schedule, command, late_after_minutes, description)
values
  (
    'nightly_refresh', '7 * * * *', 'select booking.refresh_due_calendar()', 130,
    'Publishes the new last day and drops the past one, each tenant''s from its refresh_hour on'
  ),
  (
    'drain_refresh_queue', '* * * * *', 'select booking.refresh_queued_calendar()', 10,
    'Publishes anew the calendars that a wide change has queued'
  ),
  (
    'cleanup_expired_slot_reservations', '*/5 * * * *',
    'select booking.cleanup_expired_slot_reservations()', 20,
    'Deletes expired holds'
  ),
  (
    'release_unpaid_appointments', '* * * * *', 'select booking.release_unpaid_appointments()', 10,
    'Cancels appointments that were not paid by payment_due_at'
  ),
  (
    'queue_reminders', '* * * * *', 'select booking.queue_reminders()', 10,
    'Writes the events reminder_due'
  ),
  (
    'delete_old_records', '17 3 * * *', 'select booking.delete_old_records()', 1560,
    'Deletes records that are older than booking.settings keeps them'
  )
on conflict (name) do update
set schedule = excluded.schedule, command = excluded.command,
  late_after_minutes = excluded.late_after_minutes, description = excluded.description;

alter table booking.refresh_queue
  add column retry_at timestamptz not null default '-infinity';

comment on table booking.refresh_queue is
  'Calendars that a wide change has made stale and that wait for their turn: the one visible
exception to promise P2. A failing calendar keeps its error and is tried again at retry_at: after 2,
4, 8, … minutes, at most 64.';
