-- How long ahead appointments are booked, for a tenant's admins.
create or replace view api.lead_times with (security_invoker = true) as
select
  f.tenant_id, f.date, f.staff_id, f.appointment_type_id, f.appointments, f.same_day,
  f.days_1_to_6, f.days_7_to_29, f.days_30_or_more,
  round(f.lead_minutes / 60.0 / f.appointments, 1) as average_lead_hours
from (
  select
    a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
    sum(a.same_day + a.days_1_to_6 + a.days_7_to_29 + a.days_30_or_more)::bigint as appointments,
    sum(a.same_day)::bigint as same_day,
    sum(a.days_1_to_6)::bigint as days_1_to_6,
    sum(a.days_7_to_29)::bigint as days_7_to_29,
    sum(a.days_30_or_more)::bigint as days_30_or_more,
    sum(a.lead_minutes) as lead_minutes
  from booking.appointments_by_day() a
  group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id
) as f
where f.appointments > 0;

comment on view api.lead_times is
  'How long ahead appointments are booked
For a tenant''s admins, by the date of the appointment (the place''s zone), person and service:
appointments, cancelled ones included, by local days from the booking to the start, and the average
in hours. Without those that came from another system, or were written after they began. Past days
are rolled up, today is live; days to come are left out.';
