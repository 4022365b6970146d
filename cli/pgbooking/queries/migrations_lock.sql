-- The lock row of a migration that is running, or of one that was killed.
select l.pid, l.ctime at time zone 'UTC' as locked_at
from booking_migrations.yoyo_lock as l
