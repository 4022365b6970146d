-- The server's own settings; those of this database and of roles: doctor_role_settings.sql.
with wanted (name, good, level, why) as (
  values
    ('fsync', '{on}'::text[], 'failure', 'a crash of the machine can destroy the database'),
    ('full_page_writes', '{on}', 'failure', 'a crash of the machine can destroy the database'),
    ('synchronous_commit', '{on,local,remote_write,remote_apply}', 'failure',
      'a crash loses bookings that were acknowledged'),
    ('default_transaction_isolation', '{read committed}', 'failure',
      'bookings that wait for each other end in errors'),
    ('default_transaction_read_only', '{off}', 'failure', 'nothing can be booked'),
    ('session_replication_role', '{origin}', 'failure', 'triggers do not fire: nothing is published'),
    ('autovacuum', '{on}', 'warning', 'tables grow and are planned for blindly'),
    ('track_counts', '{on}', 'warning', 'autovacuum does not know what to do')
)
select 'server_settings' as "check", w.level,
  format('%%s is %%s: %%s.', w.name, s.setting, w.why) as message,
  case s.source
    when 'command line' then format('Start the server without -c %%s=%%s.', w.name, s.setting)
    else format('alter system set %%s = %%L; select pg_reload_conf();', w.name, w.good[1])
  end as advice
from wanted w
join pg_catalog.pg_settings s using (name)
where s.setting <> all (w.good)
  and s.source not in ('database', 'user', 'database user', 'client', 'session')
union all
select 'server_settings', 'ok',
  (
    select string_agg(format('%%s is %%s', s.name, s.reset_val), ', ' order by s.name)
    from pg_catalog.pg_settings s
    where s.name in ('jit', 'max_connections')
  ) || '.',
  null
