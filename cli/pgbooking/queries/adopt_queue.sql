-- What is not in step, newest errors last. A row that somebody was just writing only waits.
select
  q.section, q.tenant, q.external_id, q.row_id, q.queued_at, q.attempts, q.last_error,
  coalesce(q.sqlstate not in ('55P03', '40001', '40P01', '57014'), false) as is_failing
from booking_adoption.queue q
order by q.id
