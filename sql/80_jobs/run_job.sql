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
