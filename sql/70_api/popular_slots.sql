-- Which times of the week people want, for a tenant's admins: sum it over the dates in question.
-- Dates to come are left out; their holds are counted already.
create or replace view api.popular_slots with (security_invoker = true) as
select
  f.tenant_id, f.location_id, f.date, extract(isodow from f.date)::integer as weekday, f.hour,
  sum(f.offered)::bigint as offered, sum(f.held)::bigint as held, sum(f.booked)::bigint as booked
from (
  select s.tenant_id, s.location_id, s.date, s.hour, s.offered, 0 as held, 0 as booked
  from booking.supply_by_day() s
  union all
  select h.tenant_id, h.location_id, h.date, h.hour, 0, h.held, 0
  from booking.holds_by_day() h
  union all
  select a.tenant_id, a.location_id, a.date, a.hour, 0, 0, a.starts
  from booking.appointments_by_day() a
) as f
group by f.tenant_id, f.location_id, f.date, f.hour;

comment on view api.popular_slots is
  'Starts offered, held and booked, by local hour
For a tenant''s admins. date and hour are those of the slot''s start, in the place''s zone; weekday
is 1 (Monday) to 7. offered: starts on people''s grids, each person, place and instant once,
whatever the service, booked or not, but for busy times. held: holds that began for such starts.
booked: starts that live appointments take; a class counts once. Past days are rolled up, today is
live; dates to come have what has been held until now, and nothing else.';
