-- The one row of booking.settings.
select 'settings' as "check", 'failure' as level,
  'booking.settings has no row: calls that are limited fail.' as message,
  'insert into booking.settings default values;' as advice
where not exists (select from booking.settings)
union all
select 'settings', 'warning',
  'trusted_proxies is 0: no call is limited by address.',
  'If a proxy stands before PostgREST: update booking.settings set trusted_proxies = 1;'
from booking.settings s
where s.trusted_proxies = 0
