-- Rows that are not in step while a live system is moved over. Its job takes them every minute.
with queue as (
  select count(*) filter (where q.attempts > 0 and q.sqlstate not in ('55P03', '40001')) as failing,
    booking.now() - min(q.queued_at) filter (where q.waits) as age,
    count(*) filter (where q.waits) as waiting
  from (
    select q.*, q.attempts = 0 or q.sqlstate in ('55P03', '40001') as waits
    from booking_adoption.queue q
    order by q.id
    limit 100000
  ) q
)
select 'adoption' as "check", 'failure' as level,
  format('%%s rows of the old system and pgbooking are not in step.', q.failing) as message,
  'pgbooking adopt lists them, and why.' as advice
from queue q
where q.failing > 0
union all
select 'adoption', 'failure',
  format('%%s rows of the old system wait to be followed, the oldest for %%s.',
    q.waiting, date_trunc('second', q.age)),
  'pgbooking jobs run follow_old_system'
from queue q
where q.age > interval '10 minutes'
