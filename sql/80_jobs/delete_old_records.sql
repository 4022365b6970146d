-- Deletes, of each kind, up to p_most_rows records that booking.settings no longer keeps, and
-- returns how many in all: attempts on the audit trail and searches, processed events (a reminder
-- stays while the start that it is for lies ahead, or it would be written again), runs of jobs,
-- verifications, and clients whom the rate limiter need not remember. Waits for nobody.
--
-- Call it until it returns 0. Days are counted from the last midnight (UTC), or while it is at work
-- more would grow old, and it would find no end.
create or replace function booking.delete_old_records(p_most_rows integer default 1000)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_today timestamptz := date_trunc('day', booking.now(), 'UTC');
  v_settings booking.settings;
  v_deleted bigint;
  v_all_deleted bigint := 0;
begin
  select s.* into strict v_settings from booking.settings s;

  delete from booking.audit_log a
  where (a.tenant_id, a.id) in (
    select o.tenant_id, o.id
    from booking.audit_log o
    where o.occurred_at < v_today - v_settings.audit_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.searches s
  where (s.tenant_id, s.id) in (
    select o.tenant_id, o.id
    from booking.searches o
    where o.searched_at < v_today - v_settings.audit_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.events e
  where (e.tenant_id, e.id) in (
    select o.tenant_id, o.id
    from booking.events o
    where o.processed_at < v_today - v_settings.event_retention_days * interval '1 day'
      and (o.kind <> 'reminder_due' or (o.payload ->> 'start_time')::timestamptz <= v_today)
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.job_runs r
  where r.id in (
    select o.id
    from booking.job_runs o
    where o.started_at < v_today - v_settings.job_run_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.verification_runs r
  where (r.tenant_id, r.id) in (
    select o.tenant_id, o.id
    from booking.verification_runs o
    where o.started_at < v_today - v_settings.verification_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.rate_limits r
  where (r.bucket, r.key) in (
    select o.bucket, o.key
    from booking.rate_limits o
    where o.tat < v_today
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  return v_all_deleted + v_deleted;
end
$$;

comment on function booking.delete_old_records(integer) is
  'Deletes up to p_most_rows records of each kind that are older than booking.settings keeps them;
returns how many. 0: none are left, or only such as someone is using.';
