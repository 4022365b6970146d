-- P3, one predicate: nothing that is offered at this moment overlaps a live appointment, a live hold
-- or a busy time of that person, other than the class that it is. Calendars in the queue are excepted.
with reach as (
  -- How far before a claim a slot that overlaps it may start, and how far after it.
  select
    max(sh.duration_minutes + sh.buffer_after_minutes) * interval '1 minute' as before,
    max(sh.buffer_before_minutes) * interval '1 minute' as after
  from booking.slot_shapes sh
  where sh.tenant_id = %(tenant_id)s
),
claims as (
  select a.staff_id, a.slot_id, a.is_group, a.claim, a.id, 'appointment' as kind
  from booking.appointments a
  where a.tenant_id = %(tenant_id)s and a.status <> 'cancelled' and a.end_time > booking.now()
  union all
  select h.staff_id, h.slot_id, sh.is_group, h.claim, h.id, 'hold'
  from booking.slot_reservations h
  join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
  where h.tenant_id = %(tenant_id)s and h.expires_at > booking.now()
  union all
  select b.staff_id, null, false, tstzrange(b.start_time, b.end_time), b.id, 'busy time'
  from booking.busy_times b
  where b.tenant_id = %(tenant_id)s and b.end_time > booking.now()
)
select
  'wrong' as kind, s.staff_id, s.id as slot_id, s.start_time,
  jsonb_build_object('is_available', s.is_available, c.kind, c.id) as published,
  jsonb_build_object('is_available', false) as expected,
  format('the slot is offered though %%s %%s takes that time', c.kind, c.id) as reason
from claims c
cross join reach
-- Claim by claim through the index, whatever the statistics say of a table just filled.
cross join lateral (
  select near.*
  from booking.availability_slots near
  where near.tenant_id = %(tenant_id)s and near.staff_id = c.staff_id
    and near.start_time > lower(c.claim) - reach.before
    and near.start_time < upper(c.claim) + reach.after
  offset 0
) as s
where (%(staff_id)s::uuid is null or c.staff_id = %(staff_id)s)
  and s.claim && c.claim
  and s.is_available
  and s.bookable_until > booking.now()
  and (s.bookable_from is null or s.bookable_from <= booking.now())
  and (s.reserved_until is null or s.reserved_until <= booking.now())
  and not (c.is_group and c.slot_id = s.id)
  and not exists (
    select from booking.refresh_queue q
    where q.tenant_id = %(tenant_id)s and q.staff_id = s.staff_id
  )
order by 2, 4
