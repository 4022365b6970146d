-- Rows that should be gone, or be taken, by now. Each question is one that an index answers.
select 'holds' as "check", 'warning' as level,
  format('Holds that expired up to %%s ago are still there. They block nothing, but nobody cleans up.',
    date_trunc('second', booking.now() - min(h.expires_at))) as message,
  'pgbooking jobs run cleanup_expired_slot_reservations' as advice
from booking.slot_reservations h
having min(h.expires_at) < booking.now() - interval '30 minutes'
union all
select 'events', 'warning',
  format('Events wait since %%s UTC: no mailer or webhook takes them.',
    to_char(min(e.created_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')),
  'pgbooking events tail --follow | your-mailer'
from booking.events e
where e.processed_at is null
having min(e.created_at) < booking.now() - interval '1 hour'
union all
select 'rate_limits', 'warning',
  format('rate_limits has about %%s rows: clients that will not come again are not removed.',
    c.reltuples::bigint),
  'pgbooking jobs run delete_old_records'
from pg_catalog.pg_class c
where c.oid = to_regclass('booking.rate_limits') and c.reltuples > 1000000
