-- Where pg_cron looks for its jobs; null where it is not loaded or this role may not read that.
select (select s.setting from pg_catalog.pg_settings s where s.name = 'cron.database_name')
