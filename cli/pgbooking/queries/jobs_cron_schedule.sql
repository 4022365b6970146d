-- In this database, as this role.
select cron.schedule(%(name)s::text, %(schedule)s::text, %(command)s::text)
