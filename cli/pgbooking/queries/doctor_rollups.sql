-- Tenants whose days could not be rolled up for their analytics.
select 'analytics' as "check", 'failure' as level,
  format('The days of tenant %%s after %%s could not be rolled up: %%s',
    r.tenant_id, r.rolled_until, r.last_error) as message,
  'Mend what the error says, then: '
    'update booking.rollups set retry_at = default where last_error is not null' || e'\n'
    'pgbooking jobs run roll_up' as advice
from booking.rollups r
where r.last_error is not null
order by r.retry_at
limit 100
