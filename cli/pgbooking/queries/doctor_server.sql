-- The server's version and the extensions in this database.
select 'postgresql' as "check",
  case when v.major < 15 then 'failure' when v.major > 18 then 'warning' else 'ok' end as level,
  format('The server is PostgreSQL %%s.', current_setting('server_version')) as message,
  case
    when v.major < 15 then 'Upgrade it: pgbooking needs PostgreSQL 15 or later.'
    when v.major > 18 then 'This version of pgbooking was tested with 15 to 18: look for a newer one.'
  end as advice
from (select current_setting('server_version_num')::int / 10000 as major) v
union all
select 'extensions', 'failure', 'The extension btree_gist is missing.', 'create extension btree_gist;'
where not exists (select from pg_catalog.pg_extension where extname = 'btree_gist')
union all
select 'extensions', 'ok',
  concat('btree_gist is here, pg_cron ', case when not c.is_here then 'is not ' end, 'in this database.'),
  null
from (
  select exists (select from pg_catalog.pg_extension where extname = 'pg_cron') as is_here
) c
