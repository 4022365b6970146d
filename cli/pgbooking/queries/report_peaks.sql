-- When people asked: calls by weekday and hour in the tenant's time zone.
select
  p.weekday, p.hour,
  sum(p.searches)::bigint as searches,
  sum(p.searches_without_result)::bigint as searches_without_result,
  sum(p.holds)::bigint as holds,
  sum(p.refused_holds)::bigint as refused_holds,
  sum(p.bookings)::bigint as bookings
from api.peak_demand p
where p.tenant_id = %(tenant_id)s and p.date between %(first_date)s and %(last_date)s
group by p.weekday, p.hour
order by p.weekday, p.hour
