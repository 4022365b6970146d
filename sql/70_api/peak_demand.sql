-- When people ask, for a tenant's admins: also those who found nothing.
create or replace view api.peak_demand with (security_invoker = true) as
select
  a.tenant_id, a.date, extract(isodow from a.date)::integer as weekday, a.hour,
  coalesce(sum(a.attempts) filter (where a.action = 'search'), 0)::bigint as searches,
  coalesce(sum(a.attempts) filter (where a.action = 'search' and a.code is not null), 0)::bigint
    as searches_without_result,
  coalesce(sum(a.attempts) filter (where a.action = 'hold' and a.code is null), 0)::bigint
    as holds,
  coalesce(sum(a.attempts) filter (where a.action = 'hold' and a.code is not null), 0)::bigint
    as refused_holds,
  coalesce(sum(a.attempts) filter (where a.action = 'book' and a.code is null), 0)::bigint
    as bookings
from booking.attempts_by_day() a
group by a.tenant_id, a.date, a.hour;

comment on view api.peak_demand is
  'What was asked for, by the hour of asking
For a tenant''s admins. date and hour are those of the call, in the tenant''s zone; weekday is 1
(Monday) to 7. searches are listings asked for by POST, from a sample; searches_without_result found
nothing. holds and bookings succeeded, refused_holds did not. Past days are rolled up, today is
live.';
