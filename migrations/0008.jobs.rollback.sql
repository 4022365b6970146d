set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

alter table booking.refresh_queue drop column retry_at;

comment on table booking.refresh_queue is
  'Calendars that a wide change has made stale and that wait for their turn: the one visible
exception to promise P2. A failing calendar keeps its error and is tried again.';

-- With their runs: what they call goes away, too.
delete from booking.jobs
where name in (
  'nightly_refresh', 'drain_refresh_queue', 'cleanup_expired_slot_reservations',
  'release_unpaid_appointments', 'queue_reminders', 'delete_old_records'
);

comment on table booking.jobs is
  'The one list of jobs: schedule is a cron expression in UTC, command the SQL to run.';

alter table booking.jobs
  drop constraint late_after_minutes_is_positive,
  drop column late_after_minutes,
  drop column description;
