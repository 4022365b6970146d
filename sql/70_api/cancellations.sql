-- Appointments that did not take place, for a tenant's admins.
create or replace view api.cancellations with (security_invoker = true) as
select
  a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
  sum(a.appointments)::bigint as appointments,
  sum(a.cancelled)::bigint as cancelled,
  sum(a.no_shows)::bigint as no_shows,
  sum(a.cancelled_late)::bigint as cancelled_late,
  sum(a.notice_minutes)::bigint as notice_minutes,
  round(100.0 * sum(a.cancelled) / sum(a.appointments), 1) as cancellation_percent,
  round(100.0 * sum(a.no_shows) / sum(a.appointments), 1) as no_show_percent,
  round(sum(a.notice_minutes) / 60.0 / nullif(sum(a.cancelled), 0), 1) as average_notice_hours
from booking.appointments_by_day() a
group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id;

comment on view api.cancellations is
  'Cancelled and missed appointments, and the notice given
For a tenant''s admins, by the date of the appointment (the place''s zone), person and service.
appointments: all, cancelled ones included. cancelled_late: with less than 24 hours'' notice.
notice_minutes: from the cancellation to the start, in all; 0 where it came later. Past days are
rolled up, today is live; days to come are left out.';
