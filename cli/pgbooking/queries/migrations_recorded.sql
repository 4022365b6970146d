-- What yoyo has on record: each migration that counts as applied, and the sha256 of the text that
-- `pgbooking migrate` applied (null where another tool did).
select
  m.migration_id,
  m.applied_at_utc at time zone 'UTC' as applied_at,
  (
    select substr(l.comment, length('sha256 ') + 1)
    from booking_migrations._yoyo_log as l
    where l.migration_hash = m.migration_hash
      and l.operation in ('apply', 'mark')
    order by l.created_at_utc desc
    limit 1
  ) as sha256
from booking_migrations._yoyo_migration as m
order by m.migration_id
