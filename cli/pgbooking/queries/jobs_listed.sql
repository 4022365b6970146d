-- Each job and its last run. A run is going on while its lock is held, which each step takes anew;
-- a row that was never finished says no more than that the run began. A job that never ran is late.
select j.name, j.description, j.schedule, j.command, j.is_enabled,
  r.started_at as last_started_at,
  r.finished_at as last_finished_at,
  r.rows_affected as last_rows,
  r.error as last_error,
  exists (
    select from pg_catalog.pg_locks l
    join pg_catalog.pg_database d
      on d.oid = l.database and d.datname = pg_catalog.current_database()
    where l.locktype = 'advisory' and l.granted and l.objsubid = 2
      and l.classid = pg_catalog.hashtext('booking.jobs')::oid
      and l.objid = pg_catalog.hashtext(j.name)::oid
  ) as is_running,
  j.is_enabled and coalesce(
    r.started_at < booking.now() - pg_catalog.make_interval(mins => j.late_after_minutes), true
  ) as is_late
from booking.jobs j
left join lateral (
  select r.*
  from booking.job_runs r
  where r.job_name = j.name
  order by r.started_at desc, r.id desc
  limit 1
) r on true
order by j.name
