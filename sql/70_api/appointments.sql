-- Appointments as their customers and the tenant's staff see them. Names come by scalar subquery,
-- so that staff can insert and update through the view; who sees and writes what, the policies
-- say.
create or replace view api.appointments with (security_invoker = true) as
select
  a.id, a.tenant_id, a.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = a.tenant_id and s.id = a.staff_id
  ) as staff_name,
  a.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = a.tenant_id and l.id = a.location_id
  ) as location_name,
  coalesce(
    (
      select l.timezone
      from booking.locations l
      where l.tenant_id = a.tenant_id and l.id = a.location_id
    ),
    (select t.timezone from booking.tenants t where t.id = a.tenant_id)
  ) as timezone,
  a.appointment_type_id,
  (
    select y.name
    from booking.appointment_types y
    where y.tenant_id = a.tenant_id and y.id = a.appointment_type_id
  ) as appointment_type_name,
  a.slot_id, a.shape_id, a.seat, a.start_time, a.end_time, a.buffer_before_minutes,
  a.buffer_after_minutes, a.status, a.customer_id, a.customer, a.notes, a.price_cents, a.currency,
  a.payment_status, a.payment_due_at, a.cancelled_at, a.cancel_reason, a.source, a.created_at,
  a.updated_at
from booking.appointments a;

comment on view api.appointments is
  'Appointments
Customers see their own, a tenant''s staff and admins all of the tenant''s. Staff book by inserting
(any time and length, without a slot) and update times, status (confirmed, completed, no_show,
cancelled), customer and notes in their own calendar, admins in everyone''s. Times are instants;
timezone is the IANA name in which to show them. To customers names are null where person, place or
service is no longer active.';
