-- The lock of a migration, the process that took it (of the machine on which it ran, which the
-- database does not know), and the sessions of pgbooking that there are beside this one.
select l.pid, l.ctime at time zone 'UTC' as locked_at,
  array(
    select a.pid
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.application_name = 'pgbooking'
      and a.pid <> pg_backend_pid()
    order by a.pid
  ) as sessions
from booking_migrations.yoyo_lock l
