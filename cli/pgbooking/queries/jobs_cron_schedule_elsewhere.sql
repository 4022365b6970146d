-- In another database, or as another role: what pg_cron lets nobody do who was not granted it.
select cron.schedule_in_database(
  %(name)s::text, %(schedule)s::text, %(command)s::text, %(database)s::text,
  nullif(%(user_name)s::text, current_user::text)
)
