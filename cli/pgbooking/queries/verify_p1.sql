-- P1, no overlap: no two live appointments, two live holds, or a hold and an appointment of one
-- person overlap, other than on one group slot; and there no seat is given out twice.
with claims as (
  select
    a.staff_id, a.id, a.slot_id, a.is_group, a.seat, a.start_time, a.claim, 'appointment' as kind
  from booking.appointments a
  where a.tenant_id = %(tenant_id)s and a.status <> 'cancelled'
    and (%(staff_id)s::uuid is null or a.staff_id = %(staff_id)s)
  union all
  select
    h.staff_id, h.id, h.slot_id, sh.is_group, h.seat, h.start_time, h.claim, 'hold'
  from booking.slot_reservations h
  join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
  where h.tenant_id = %(tenant_id)s and h.expires_at > booking.now()
    and (%(staff_id)s::uuid is null or h.staff_id = %(staff_id)s)
),
-- One class is one claim, however many attend it.
taken as (
  select
    c.staff_id, min(c.id::text) as id, min(c.kind) as kind, c.start_time, c.claim,
    case when c.is_group then c.slot_id end as slot_id
  from claims c
  group by
    c.staff_id, c.start_time, c.claim, case when c.is_group then c.slot_id else c.id end,
    case when c.is_group then c.slot_id end
),
reached as (
  select t.*, max(upper(t.claim)) over earlier as reached_before
  from taken t
  window earlier as (
    partition by t.staff_id order by lower(t.claim), upper(t.claim), t.id
    rows between unbounded preceding and 1 preceding
  )
)
select
  'wrong' as kind, r.staff_id, r.slot_id, r.start_time,
  jsonb_build_object(r.kind, r.id, 'claim', r.claim) as published, null::jsonb as expected,
  format(
    '%%s %%s takes [%%s, %%s) though the same person is taken until %%s already',
    r.kind, r.id, lower(r.claim), upper(r.claim), r.reached_before
  ) as reason
from reached r
where lower(r.claim) < r.reached_before
union all
select
  'wrong', c.staff_id, c.slot_id, c.start_time,
  jsonb_build_object('seat', c.seat, 'claims', count(*)), null,
  format('seat %%s of slot %%s is given out %%s times', c.seat, c.slot_id, count(*))
from claims c
where c.is_group
group by c.staff_id, c.slot_id, c.start_time, c.seat
having count(*) > 1
order by 2, 4
