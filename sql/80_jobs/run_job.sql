-- Runs a job of booking.jobs: its command again and again, each time in a transaction of its own,
-- until it returns 0. Keeps a row in job_runs, whose rows_affected grows with each step. Call it
-- outside a transaction block, as a login role that is a member of booking_owner.
--
-- Two runs of one job cannot overlap: a session-level advisory lock is held from the first step to
-- the last, over all commits. Whoever finds it taken, or the job disabled, does nothing and gets
-- null. What a run that was killed left unfinished is closed by the next one, which holds the
-- lock that a living one would hold.
--
-- A step that fails, or is cancelled, is taken back, and those before it stay. Its error is kept,
-- the lock released, and the error raised again, so that whoever called sees it. The next run
-- goes on. A step waits for a lock for five seconds at most.
--
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
create or replace procedure booking.run_job(p_name text, inout p_run_id bigint default null)
language plpgsql
as $$
declare
  c_jobs constant integer := pg_catalog.hashtext('booking.jobs');
  v_job booking.jobs;
  v_step bigint;
  v_state text;
  v_error text;
begin
  -- Inside a transaction block this fails, before a lock is taken that would outlive it.
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
  if not pg_catalog.pg_try_advisory_lock(c_jobs, pg_catalog.hashtext(p_name)) then
    raise notice 'job "%" is running already', p_name;
    return;
  end if;

  -- The session may live on, in a pool say, and must not keep the lock when this one ends early.
  begin
    update booking.job_runs r
    set finished_at = greatest(r.started_at, booking.now()), error = 'interrupted'
    where r.job_name = p_name and r.finished_at is null;
    insert into booking.job_runs (job_name, rows_affected) values (p_name, 0)
    returning id into p_run_id;
  exception when query_canceled or others then
    perform pg_catalog.pg_advisory_unlock(c_jobs, pg_catalog.hashtext(p_name));
    raise;
  end;
  commit;

  loop
    begin
      perform pg_catalog.set_config('lock_timeout', '5s', true);
      execute v_job.command into v_step;
      update booking.job_runs r
      set rows_affected = r.rows_affected + coalesce(v_step, 0)
      where r.id = p_run_id;
    exception when query_canceled or others then
      get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
    end;
    commit;
    exit when v_error is not null or coalesce(v_step, 0) = 0;
  end loop;

  begin
    update booking.job_runs r
    set finished_at = greatest(r.started_at, booking.now()), error = v_error
    where r.id = p_run_id;
  exception when query_canceled or others then
    perform pg_catalog.pg_advisory_unlock(c_jobs, pg_catalog.hashtext(p_name));
    raise;
  end;
  commit;
  perform pg_catalog.pg_advisory_unlock(c_jobs, pg_catalog.hashtext(p_name));
  if v_error is not null then
    raise exception using
      errcode = v_state, message = pg_catalog.format('job "%s" failed: %s', p_name, v_error);
  end if;
end
$$;

comment on procedure booking.run_job(text, bigint) is
  'Runs a job of booking.jobs to its end and returns the id of its row in job_runs; null if it is
running already or disabled. Call it outside a transaction block.';
