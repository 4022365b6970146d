-- By its id: several roles may have the same name for a job.
select cron.unschedule(%(id)s::bigint)
