-- How much of people's working time is booked, by week, for a tenant's admins.
create or replace view api.staff_utilisation with (security_invoker = true) as
select
  f.tenant_id, f.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = f.tenant_id and s.id = f.staff_id
  ) as staff_name,
  f.week,
  sum(f.working_minutes)::bigint as working_minutes,
  sum(f.booked_minutes)::bigint as booked_minutes,
  sum(f.buffer_minutes)::bigint as buffer_minutes,
  sum(f.travel_minutes)::bigint as travel_minutes,
  round(100.0 * sum(f.booked_minutes) / nullif(sum(f.working_minutes), 0), 1)
    as utilisation_percent
from (
  select s.tenant_id, s.staff_id, s.week, s.working_minutes, 0 as booked_minutes,
    0 as buffer_minutes, 0 as travel_minutes
  from booking.supply_by_day() s
  union all
  select a.tenant_id, a.staff_id, a.week, 0, a.booked_minutes, a.buffer_minutes, a.travel_minutes
  from booking.appointments_by_day() a
) as f
group by f.tenant_id, f.staff_id, f.week;

comment on view api.staff_utilisation is
  'Working time and what it was used for, by week
For a tenant''s admins. week is its Monday (the places'' dates). working_minutes: hours without
breaks and closed exceptions. booked_minutes: live appointments from start to end, missed ones
included, a class once. buffer_minutes: before and after them. travel_minutes: between two places
on a date. utilisation_percent: booked of working minutes; above 100 where appointments lie outside
the hours. Past days are rolled up, today is live; days to come are left out.';
