-- Sessions that hold others up, or keep vacuum from what has died since they began.
with waiting as materialized (
  -- Asked once: each answer stops the lock manager for a moment.
  select pg_blocking_pids(w.pid) as blockers
  from pg_catalog.pg_stat_activity w
  where w.datname = current_database() and w.wait_event_type = 'Lock'
  limit 50
),
sessions as (
  select a.pid, a.usename, a.application_name, a.state,
    clock_timestamp() - a.state_change as state_age, clock_timestamp() - a.xact_start as age,
    (select count(*) from waiting w where a.pid = any (w.blockers)) as waiting
  from pg_catalog.pg_stat_activity a
  where a.datname = current_database() and a.pid <> pg_backend_pid()
    and a.xact_start < clock_timestamp() - interval '1 second'
),
faults as (
  select s.*, case
    when s.state like 'idle in transaction%%' and s.waiting > 0 and s.state_age > interval '1 second'
      then format('does nothing in an open transaction, for which %%s sessions wait', s.waiting)
    when s.state like 'idle in transaction%%' and s.state_age > interval '5 minutes'
      then 'does nothing in an open transaction'
    when s.age > interval '1 hour' then 'has been in one transaction'
  end as fault
  from sessions s
)
select 'sessions' as "check", case when f.waiting > 0 then 'failure' else 'warning' end as level,
  format('Session %%s (%%s) %%s, since %%s.',
    f.pid, concat_ws(', ', f.usename, nullif(f.application_name, '')), f.fault,
    date_trunc('second', f.age)) as message,
  format('select pg_terminate_backend(%%s);', f.pid) as advice
from faults f
where f.fault is not null
union all
select 'sessions', 'warning',
  format('%%s may not see what the sessions of other roles do.', current_user),
  format('grant pg_read_all_stats to %%I;', current_user)
where not pg_has_role(current_user, 'pg_read_all_stats', 'usage')
