-- Calendars that wait to be published anew. Its job works it off every minute.
with queue as (
  select count(*) as depth,
    coalesce(booking.now() - min(q.queued_at) filter (where q.last_error is null), '0') as age
  from (select * from booking.refresh_queue order by queued_at limit 100000) q
)
select 'queue' as "check", case when q.age > interval '15 minutes' then 'failure' else 'ok' end as level,
  case q.depth
    when 0 then 'No calendar waits to be published anew.'
    else format('%%s calendars wait to be published anew, the oldest for %%s.',
      q.depth, date_trunc('second', q.age))
  end as message,
  case when q.age > interval '15 minutes' then 'pgbooking jobs run drain_refresh_queue' end as advice
from queue q
union all
(
  select 'queue', 'failure',
    format('The calendar of staff %%s (tenant %%s) could not be published in %%s attempts: %%s',
      f.staff_id, f.tenant_id, f.attempts, f.last_error),
    format('Mend what the error says, then: pgbooking backfill --tenant %%s --staff %%s',
      f.tenant_id, f.staff_id)
  from booking.refresh_queue f
  where f.last_error is not null
  order by f.queued_at
  limit 100
)
