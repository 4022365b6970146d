-- New appointments, in the order in which calendars are locked. "do nothing" without a target leaves
-- out a row that overlaps a live appointment that comes just before it, or while this runs. One that
-- is there already is seen beforehand, so that a second run touches no calendar. A class is booked as
-- its slot, because only there may people share one time.
insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, shape_id, slot_id, start_time, end_time,
  buffer_before_minutes, buffer_after_minutes, status, customer, notes, price_cents, currency,
  source, external_id
)
select
  %(tenant_id)s, r.staff_id, r.location_id, t.id, class.shape_id,
  booking.slot_id(%(tenant_id)s, r.staff_id, r.location_id, r.start_time, class.shape_id),
  r.start_time, r.end_time, r.buffer_before_minutes, r.buffer_after_minutes,
  coalesce(r.status, 'confirmed'), r.customer, r.notes, t.price_cents, t.currency, %(source)s,
  r.external_id
from jsonb_to_recordset(%(rows)s) as r(
  line integer, external_id text, staff_id uuid, location_id uuid, appointment_type_ids uuid[],
  start_time timestamptz, end_time timestamptz, buffer_before_minutes integer,
  buffer_after_minutes integer, status text, customer jsonb, notes text
)
join booking.appointment_types t
  on t.tenant_id = %(tenant_id)s and t.id = (r.appointment_type_ids)[1]
cross join lateral (
  select case when t.capacity > 1 then t.shape_id end as shape_id
) as class
where not exists (
  select from booking.appointments a
  where a.tenant_id = %(tenant_id)s and a.source = %(source)s and a.external_id = r.external_id
)
and (
  class.shape_id is not null
  or coalesce(r.status, 'confirmed') = 'cancelled'
  or not exists (
    select from booking.appointments a
    where a.tenant_id = %(tenant_id)s and a.staff_id = r.staff_id and a.status <> 'cancelled'
      and a.claim && booking.claim_of(
        r.start_time, r.end_time, r.buffer_before_minutes, r.buffer_after_minutes
      )
  )
)
order by r.staff_id, r.start_time, r.line
on conflict do nothing
returning external_id
