-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: 0010.imports_and_parallel_run

set local role booking_owner;

set local check_function_bodies = off;

-- sql/30_slots/drain_refresh_queue.sql

-- Works off refresh_queue at once, by hand: like the job, one transaction a calendar, oldest first,
-- but those that failed lately, too. Each is tried once. A procedure that commits can neither pin
-- its search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_entry record;
  v_failed text[] := array[]::text[];
begin
  loop
    select q.tenant_id, q.staff_id into v_entry
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id)
      and q.tenant_id::text || q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    if not booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id) then
      v_failed := v_failed || (v_entry.tenant_id::text || v_entry.staff_id);
    end if;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/nightly_refresh.sql

-- The nightly rebuild, one step: publishes the next calendar whose night has not been done, and
-- returns 1, or 0 if there is none. A night is due from its tenant's local refresh_hour on, and
-- done when the horizon has moved since midnight; whatever moved it has rebuilt the calendar. One
-- on which nothing changed writes the new last day and deletes the past one. Calendars that
-- someone is writing are left to the next run, queued ones to the queue, where a calendar that
-- fails is put with its error.
create or replace function booking.refresh_due_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_calendar record;
  v_error text;
begin
  loop
    select c.tenant_id, c.staff_id into v_calendar
    from booking.tenants t
    join booking.calendars c on c.tenant_id = t.id
    -- The date on which it was done last: that of the last night, or today; not tomorrow, or the
    -- clock has been put back.
    where c.materialized_until - least(t.precompute_days, t.booking_horizon_days) not between
        ((v_now at time zone t.timezone) - t.refresh_hour * interval '1 hour')::date
        and (v_now at time zone t.timezone)::date
      and not exists (
        select from booking.refresh_queue q
        where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
      )
    limit 1
    for no key update of c skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
      return 1;
    exception when others then
      get stacked diagnostics v_error = message_text;
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
  end loop;
  return 0;
end
$$;

comment on function booking.refresh_due_calendar() is
  'Publishes the next calendar whose night is due (its tenant''s refresh_hour has come, local time);
returns 1, or 0 if there is none.';

-- The same for every calendar, at once, by hand, due or not; each in a transaction of its own.
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
create or replace procedure booking.nightly_refresh(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_calendar record;
  v_error text;
begin
  for v_calendar in
    select c.tenant_id, c.staff_id
    from booking.calendars c
    where p_tenant_id is null or c.tenant_id = p_tenant_id
    order by c.tenant_id, c.staff_id
  loop
    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
    exception when others then
      get stacked diagnostics v_error = message_text;
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/queue_failed.sql

-- Keeps the error of a calendar that could not be published, and when to try again: after 2, 4,
-- 8, … minutes, at most 64. Puts it into the queue if it is not there. Locks its entry.
create or replace function booking.queue_failed(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_reason text,
  p_error text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  insert into booking.refresh_queue as q (
    tenant_id, staff_id, reason, attempts, last_error, retry_at
  )
  select
    c.tenant_id, c.staff_id, p_reason, 1, p_error, booking.now() + interval '2 minutes'
  from booking.calendars c
  where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id
  on conflict (tenant_id, staff_id) do update
  set attempts = q.attempts + 1, last_error = excluded.last_error,
    retry_at = booking.now() + (2 ^ least(q.attempts + 1, 6)) * interval '1 minute';
end
$$;

comment on function booking.queue_failed(uuid, uuid, text, text) is
  'Queues a calendar that failed with that error, for a reason if it is not queued yet.';

-- sql/30_slots/refresh_or_queue.sql

create or replace function booking.refresh_or_queue(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_reason text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_calendars_at_once constant integer := 20;
begin
  if cardinality(p_staff_ids) <= c_most_calendars_at_once then
    perform booking.refresh_horizon(p_tenant_id, p_staff_ids);
    return;
  end if;

  -- Not "do nothing": whoever is working an entry off holds its row, so this waits and queues anew.
  insert into booking.refresh_queue as q (tenant_id, staff_id, reason, queued_at)
  select p_tenant_id, s.id, p_reason, booking.now()
  from unnest(p_staff_ids) as s(id)
  order by s.id
  on conflict (tenant_id, staff_id)
  do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0,
    retry_at = excluded.retry_at;
end
$$;

comment on function booking.refresh_or_queue(uuid, uuid[], text) is
  'Refreshes up to 20 calendars now, or puts more of them into refresh_queue with the reason.';

-- sql/30_slots/refresh_queued_calendar.sql

-- The queue's job, one step: publishes the calendar that has waited longest and returns 1, or 0 if
-- none is due. The entry's row is locked before the calendar and deleted in the same transaction,
-- so that a change that comes meanwhile queues anew. Entries that another worker has, and
-- calendars that someone is writing, are left to the next run. One try a transaction: whoever
-- wants to queue anew waits for no other calendar. One that fails keeps its error until its next
-- turn and stops no other.
create or replace function booking.refresh_queued_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_entry record;
begin
  select q.tenant_id, q.staff_id into v_entry
  from booking.refresh_queue q
  join booking.calendars c on c.tenant_id = q.tenant_id and c.staff_id = q.staff_id
  where q.retry_at <= booking.now()
  order by q.queued_at, q.tenant_id, q.staff_id
  limit 1
  for update of q skip locked
  for no key update of c skip locked;
  if not found then
    return 0;
  end if;
  perform booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id);
  return 1;
end
$$;

comment on function booking.refresh_queued_calendar() is
  'Publishes the next queued calendar, or keeps its error; returns 1, or 0 if none is due.';

-- For whoever has locked the entry. Returns whether the calendar is published now; else its error
-- is kept.
create or replace function booking.work_off_queued(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_error text;
begin
  perform booking.refresh_horizon(p_tenant_id, array[p_staff_id]);
  delete from booking.refresh_queue q
  where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id;
  return true;
exception when others then
  get stacked diagnostics v_error = message_text;
  perform booking.queue_failed(p_tenant_id, p_staff_id, 'refresh failed', v_error);
  return false;
end
$$;

comment on function booking.work_off_queued(uuid, uuid) is
  'Publishes a queued calendar and takes it off the queue; returns whether that worked.';

-- sql/40_booking/release_unpaid_appointments.sql

-- Cancels appointments that were to be paid by payment_due_at and were not, and returns how many.
-- Their time is free again in the same transaction. Rows and calendars that someone else is writing
-- are skipped and left to the next call, and so are those that fail, so that no tenant waits for
-- another's; an error is raised where there is nothing but errors. One call does few.
create or replace function booking.release_unpaid_appointments(
  p_most_appointments integer default 20
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_appointment record;
  v_released integer := 0;
  v_error text;
begin
  perform set_config('booking.is_audited', 'on', true);
  for v_appointment in
    select a.tenant_id, a.id, a.staff_id, a.slot_id
    from booking.appointments a
    join booking.calendars c on c.tenant_id = a.tenant_id and c.staff_id = a.staff_id
    where a.status = 'pending' and a.payment_due_at <= v_now and a.payment_status <> 'paid'
    order by a.tenant_id, a.staff_id, a.id
    for no key update of a, c skip locked
  loop
    begin
      update booking.appointments a
      set status = 'cancelled', cancel_reason = 'not paid in time'
      where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id;

      insert into booking.audit_log (
        tenant_id, action, outcome, actor_role, slot_id, appointment_id, staff_id
      )
      values (
        v_appointment.tenant_id, 'release_unpaid_appointment', 'success', session_user,
        v_appointment.slot_id, v_appointment.id, v_appointment.staff_id
      );
      v_released := v_released + 1;
    exception when others then
      get stacked diagnostics v_error = message_text;
    end;
    exit when v_released = p_most_appointments;
  end loop;
  if v_released = 0 and v_error is not null then
    raise exception using message = v_error;
  end if;
  perform set_config('booking.is_audited', '', true);
  return v_released;
end
$$;

comment on function booking.release_unpaid_appointments(integer) is
  'Cancels up to p_most_appointments pending appointments whose payment_due_at has passed; returns
how many.';

-- sql/80_jobs/delete_old_records.sql

-- Deletes, of each kind, up to p_most_rows records that booking.settings no longer keeps, and
-- returns how many in all: attempts on the audit trail, processed events (a reminder stays while
-- the start that it is for lies ahead, or it would be written again), runs of jobs, verifications,
-- and clients whom the rate limiter need not remember. Waits for nobody.
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

-- sql/80_jobs/run_job.sql

-- Runs a job of booking.jobs: its command again and again, each time in a transaction of its own,
-- until it returns 0. Keeps a row in job_runs, whose rows_affected grows with each step. Call it
-- outside a transaction block, as a login role that is a member of booking_owner.
--
-- Two runs of one job cannot overlap: each step holds an advisory lock until its transaction ends,
-- and goes on only while its run is open. Not a lock of the session: a cancel that comes between
-- two steps cannot be caught, and in a pool the session would keep it. Whoever finds the lock
-- taken, or the job disabled, does nothing and gets null. A run that is open though nobody holds
-- the lock is between two steps, or dead: one that has not moved a moment later is closed as
-- interrupted.
--
-- A step that fails, or is cancelled, is taken back, and those before it stay. Its error is kept,
-- and raised again, so that whoever called sees it. The next run goes on. A step waits for a lock
-- for five seconds at most.
--
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
create or replace procedure booking.run_job(p_name text, inout p_run_id bigint default null)
language plpgsql
as $$
declare
  c_moment constant double precision := 0.2;  -- seconds
  c_jobs constant integer := pg_catalog.hashtext('booking.jobs');
  v_job booking.jobs;
  v_open text;
  v_open_before text;
  v_step bigint;
  v_state text;
  v_error text;
begin
  -- Inside a transaction block this fails at once.
  commit;

  p_run_id := null;
  select j.* into v_job from booking.jobs j where j.name = p_name;
  if not found then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = pg_catalog.format('there is no job "%s" in booking.jobs', p_name);
  end if;
  if not v_job.is_enabled then
    raise notice 'job "%" is disabled', p_name;
    return;
  end if;

  loop
    v_open := null;
    if pg_catalog.pg_try_advisory_xact_lock(c_jobs, pg_catalog.hashtext(p_name)) then
      -- Each step that was done is another version of the run's row.
      select pg_catalog.string_agg(r.id || ' ' || r.xmin, ' ' order by r.id) into v_open
      from booking.job_runs r
      where r.job_name = p_name and r.finished_at is null;
      exit when v_open is null or v_open = v_open_before;
    end if;
    if v_open is null or v_open_before is not null then
      raise notice 'job "%" is running already', p_name;
      return;
    end if;
    v_open_before := v_open;
    commit;
    perform pg_catalog.pg_sleep(c_moment);
  end loop;

  update booking.job_runs r
  set finished_at = greatest(r.started_at, booking.now()), error = 'interrupted'
  where r.job_name = p_name and r.finished_at is null;
  insert into booking.job_runs (job_name, rows_affected) values (p_name, 0)
  returning id into p_run_id;
  commit;

  loop
    begin
      v_step := null;
      perform pg_catalog.set_config('lock_timeout', '5s', true);
      perform pg_catalog.pg_advisory_xact_lock(c_jobs, pg_catalog.hashtext(p_name));
      -- Closed by another run, which has taken this one for dead and goes on alone.
      exit when not exists (
        select from booking.job_runs r where r.id = p_run_id and r.finished_at is null
      );
      execute v_job.command into v_step;
      update booking.job_runs r
      set rows_affected = r.rows_affected + coalesce(v_step, 0)
      where r.id = p_run_id;
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
    end;
    if v_error is not null or coalesce(v_step, 0) = 0 then
      update booking.job_runs r
      set finished_at = greatest(r.started_at, booking.now()), error = v_error
      where r.id = p_run_id and r.finished_at is null;
    end if;
    commit;
    exit when v_error is not null or coalesce(v_step, 0) = 0;
  end loop;

  if v_error is not null then
    raise exception using
      errcode = v_state, message = pg_catalog.format('job "%s" failed: %s', p_name, v_error);
  end if;
end
$$;

comment on procedure booking.run_job(text, bigint) is
  'Runs a job of booking.jobs to its end and returns the id of its row in job_runs; null if it is
running already or disabled. Call it outside a transaction block.';

grant usage on schema api to anon, authenticated, service_role;

grant usage on schema booking to anon, authenticated, service_role;

-- Asked by the policies.
grant execute on function booking.now() to anon, authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, shape_id, start_time, end_time, duration_minutes,
  seats_left, is_available
) on booking.availability_slots to anon, authenticated, service_role;

grant select on api.availability_slots to anon, authenticated, service_role;

grant select (id, timezone, is_active) on booking.tenants to anon, authenticated, service_role;

grant select (id, tenant_id, name, timezone, is_active)
on booking.locations to anon, authenticated, service_role;

grant select on api.locations to anon, authenticated, service_role;

grant select (id, tenant_id, display_name, is_active)
on booking.staff to anon, authenticated, service_role;

grant select on api.staff to anon, authenticated, service_role;

grant select (
  id, tenant_id, shape_id, code, name, duration_minutes, price_cents, currency, requires_payment,
  capacity, is_active
) on booking.appointment_types to anon, authenticated, service_role;

grant select on api.appointment_types to anon, authenticated, service_role;

grant select (tenant_id, staff_id, appointment_type_id)
on booking.staff_appointment_types to anon, authenticated, service_role;

grant select on api.staff_appointment_types to anon, authenticated, service_role;

-- Appointments: what the policies let members write. The functions are what constraints, generated
-- columns, triggers and policies ask in the writer's name.
grant select (
  id, tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, seat, start_time,
  end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
  price_cents, currency, payment_status, payment_due_at, cancelled_at, cancel_reason, source,
  created_at, updated_at
) on booking.appointments to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, start_time, end_time,
  buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes, price_cents,
  currency
) on booking.appointments to authenticated, service_role;

grant update (
  staff_id, location_id, appointment_type_id, start_time, end_time, buffer_before_minutes,
  buffer_after_minutes, status, customer, notes, price_cents, currency, cancel_reason
) on booking.appointments to authenticated, service_role;

grant select, insert, update on api.appointments to authenticated, service_role;

grant execute on function booking.caller_claims to authenticated, service_role;

grant execute on function booking.caller_id to authenticated, service_role;

grant execute on function booking.caller_may_write to authenticated, service_role;

grant execute on function booking.caller_memberships to authenticated, service_role;

grant execute on function booking.member_tenant_ids to authenticated, service_role;

grant execute on function booking.member_staff_ids to authenticated, service_role;

grant execute on function booking.iso_time to authenticated, service_role;

grant execute on function booking.slot_id to authenticated, service_role;

grant execute on function booking.is_slot_id to authenticated, service_role;

grant execute on function booking.claim_of to authenticated, service_role;

grant execute on function booking.whole_minutes to authenticated, service_role;

-- Schedules: what the policies let members write.
grant select (
  id, tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until,
  created_at, updated_at
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant update (
  staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant delete on booking.working_hours, booking.breaks to authenticated, service_role;

grant select, insert, update, delete
on api.working_hours, api.breaks to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note,
  created_at, updated_at
) on booking.schedule_exceptions to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant update (
  staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant delete on booking.schedule_exceptions to authenticated, service_role;

grant select, insert, update, delete
on api.schedule_exceptions to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, start_time, end_time, source, external_id, created_at, updated_at
) on booking.busy_times to authenticated, service_role;

grant insert (
  tenant_id, staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant update (
  staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant delete on booking.busy_times to authenticated, service_role;

grant select, insert, update, delete on api.busy_times to authenticated, service_role;

grant execute on function booking.is_whole_minute to authenticated, service_role;

-- The functions: thin ones run as their caller, who may call the two frames that do the work as the
-- owner, and nothing behind them.
grant execute on function booking.attempt to anon, authenticated, service_role;

grant execute on function booking.answer to anon, authenticated, service_role;

grant execute on function api.reserve_slot to anon, authenticated, service_role;

grant execute on function api.get_reservations to anon, authenticated, service_role;

grant execute on function api.release_slot to anon, authenticated, service_role;

grant execute on function api.reschedule_appointment to anon, authenticated, service_role;

grant execute on function api.cancel_appointment to anon, authenticated, service_role;

grant execute on function api.get_tenant to anon, authenticated, service_role;

grant execute on function api.get_available_slots to anon, authenticated, service_role;

grant execute on function api.get_next_available to anon, authenticated, service_role;

grant execute on function api.create_appointment to authenticated, service_role;

grant execute on function api.set_working_hours to authenticated, service_role;

grant execute on function api.explain_availability to authenticated, service_role;

grant execute on function api.record_payment to service_role;

grant execute on function api.recalculate_availability to service_role;

-- What PostgREST runs first, as the caller.
grant execute on function booking.cache_control to anon, authenticated, service_role;

grant execute on function api.pre_request to anon, authenticated, service_role;

-- Supabase makes tokens as a role of its own.
do $$
begin
  if to_regrole('supabase_auth_admin') is not null then
    grant usage on schema booking to supabase_auth_admin;
    grant execute on function booking.custom_access_token_hook to supabase_auth_admin;
  end if;
end
$$;
