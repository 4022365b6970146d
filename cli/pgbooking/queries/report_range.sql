-- The days of a report, by default ninety that end today in the tenant's time zone. Where the job
-- that rolls days up has never run, only the last of them have figures.
select
  booking.now() as made_at,
  coalesce(%(first_date)s::date, last.date - 89) as first_date,
  last.date as last_date,
  case
    when not exists (select from booking.rollups r where r.tenant_id = t.id) then today.date - 30
  end as counted_from
from booking.tenants t
cross join lateral (select (booking.now() at time zone t.timezone)::date as date) as today
cross join lateral (select coalesce(%(last_date)s::date, today.date) as date) as last
where t.id = %(tenant_id)s
