-- From the search to the appointment that was kept, for a tenant's admins.
create or replace view api.booking_funnel with (security_invoker = true) as
select
  f.tenant_id, f.date, f.staff_id, f.appointment_type_id,
  sum(f.searches)::bigint as searches,
  sum(f.searches_without_result)::bigint as searches_without_result,
  sum(f.holds)::bigint as holds,
  sum(f.bookings)::bigint as bookings,
  sum(f.kept)::bigint as kept,
  sum(f.timed)::bigint as timed_bookings,
  round(sum(f.seconds) / nullif(sum(f.timed), 0), 1) as seconds_to_book
from (
  select
    a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
    case when a.action = 'search' then a.attempts else 0 end as searches,
    case when a.action = 'search' and a.code is not null then a.attempts else 0 end
      as searches_without_result,
    case when a.action = 'hold' then a.attempts else 0 end as holds,
    0 as bookings, 0 as kept, a.timed, a.seconds
  from booking.attempts_by_day() a
  where a.code is null or a.action = 'search'
  union all
  select b.tenant_id, b.date, b.staff_id, b.appointment_type_id, 0, 0, 0, b.bookings, b.kept, 0, 0
  from booking.bookings_by_day() b
) as f
group by f.tenant_id, f.date, f.staff_id, f.appointment_type_id;

comment on view api.booking_funnel is
  'Searches, holds, bookings, and what was kept
For a tenant''s admins, by the date of the step (tenant''s zone), person and service (null: none was
named). searches: listings asked for by POST, from a sample, where the tenant counts them. holds:
slots that a session held, once a day. bookings: appointments made through create_appointment; kept:
those of them that were neither cancelled nor missed until now. seconds_to_book: from the first hold
to the booking, on average over timed_bookings, those whose hold is on record. Past days are rolled
up, today is live.';
