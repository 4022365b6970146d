-- What pg_cron has of ours: whatever runs a job in that database, under any name and role. A row
-- keeps the host that pg_cron was to connect to when it was scheduled.
select j.jobid as id, j.jobname::text as name, j.schedule, j.command, j.username::text as user_name,
  j.active as is_active,
  j.nodename = coalesce(
    (select s.setting from pg_catalog.pg_settings s where s.name = 'cron.host'), j.nodename
  ) as is_host_right
from cron.job j
where j.database = %(database)s and j.command ~ '^call booking\.run_job\(''[a-z0-9_]+''\)$'
order by j.command, j.jobid
