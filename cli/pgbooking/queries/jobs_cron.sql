-- The pg_cron of this database, if it has one. Most roles may not read its settings: null then.
select current_user::text as user_name,
  pg_catalog.current_database()::text as database,
  (select c.system_identifier from pg_catalog.pg_control_system() c) as cluster,
  pg_catalog.has_schema_privilege('cron', 'usage') as may_use,
  (select s.setting from pg_catalog.pg_settings s where s.name = 'cron.timezone') as timezone
from pg_catalog.pg_extension e
where e.extname = 'pg_cron'
