-- Starts by weekday and local hour at their place, over all places.
select
  p.weekday, p.hour,
  sum(p.offered)::bigint as offered, sum(p.held)::bigint as held, sum(p.booked)::bigint as booked
from api.popular_slots p
where p.tenant_id = %(tenant_id)s and p.date between %(first_date)s and %(last_date)s
group by p.weekday, p.hour
order by p.weekday, p.hour
