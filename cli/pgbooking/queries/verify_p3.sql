-- P3, one predicate: what is offered at this moment can be reserved. Nothing that is offered overlaps
-- a live appointment, a live hold or a busy time of that person, other than the class that it is; a
-- class that is offered has a seat left; and of each person, place and shape the next start that is
-- offered is one that reserving, which asks for a single start, would grant. Calendars in the queue
-- are excepted. That what is held can be booked is not asked: the tenant may change a calendar
-- meanwhile, and then it cannot.
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
),
offered as not materialized (
  select s.*
  from booking.availability_slots s
  where s.tenant_id = %(tenant_id)s and (%(staff_id)s::uuid is null or s.staff_id = %(staff_id)s)
    and s.is_available
    and s.bookable_until > (select booking.now())
    and (s.bookable_from is null or s.bookable_from <= (select booking.now()))
    and (s.reserved_until is null or s.reserved_until <= (select booking.now()))
    and not exists (
      select from booking.refresh_queue q
      where q.tenant_id = %(tenant_id)s and q.staff_id = s.staff_id
    )
),
seats_taken as (
  select c.slot_id, count(*) as seats from claims c where c.is_group group by c.slot_id
),
next_offered as materialized (
  select distinct on (o.staff_id, o.location_id, o.shape_id) o.*
  from offered o
  order by o.staff_id, o.location_id, o.shape_id, o.start_time
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
  from offered near
  where near.staff_id = c.staff_id
    and near.start_time > lower(c.claim) - reach.before
    and near.start_time < upper(c.claim) + reach.after
  offset 0
) as s
where s.claim && c.claim and not (c.is_group and c.slot_id = s.id)
union all
select
  'wrong', o.staff_id, o.id, o.start_time,
  jsonb_build_object('seats_left', o.seats_left), jsonb_build_object('seats_left', 0),
  format('the slot is offered though %%s of its %%s seats are taken', t.seats, o.capacity)
from offered o
join seats_taken t on t.slot_id = o.id
where t.seats >= o.capacity
union all
select
  'wrong', n.staff_id, n.id, n.start_time,
  jsonb_build_object('is_available', n.is_available), to_jsonb(single) - 'claim',
  format('the slot is offered though reserving it is refused: %%s', case
    when single.end_time is null then 'there is no such start'
    when not single.is_on_grid then 'it is not on the grid'
    else 'it is not available'
  end)
from next_offered n
left join lateral booking.calculate_slot(
  %(tenant_id)s, n.staff_id, n.location_id, n.shape_id, n.start_time
) as single on true
where (single.is_on_grid and single.is_available) is not true
order by 2, 4
