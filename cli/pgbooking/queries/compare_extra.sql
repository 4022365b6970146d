-- Of each of these published slots, which another system does not offer: whether the calculator says
-- the same, and the row that opens its time.
with asked as (
  select *
  from unnest(
    %(numbers)s::integer[], %(staff_ids)s::uuid[], %(location_ids)s::uuid[], %(shape_ids)s::uuid[],
    %(starts)s::timestamptz[]
  ) as a(number, staff_id, location_id, shape_id, start_time)
),
calculated as materialized (
  select s.staff_id, s.location_id, s.shape_id, s.start_time
  from booking.calculate_slots(
    %(tenant_id)s, array(select distinct a.staff_id from asked a), %(from_date)s, %(to_date)s
  ) s
  where s.is_available
)
select
  a.number, p.display_name as person, z.zone, booking.local_text(a.start_time, z.zone) as local_time,
  exists (
    select
    from booking.refresh_queue q
    where q.tenant_id = %(tenant_id)s and q.staff_id = a.staff_id
  ) as is_queued,
  c.start_time is not null as is_calculated,
  opened.source, opened.id,
  booking.period_text(opened.starts_at, opened.ends_at, z.zone) as open_from_to
from asked a
join booking.tenants t on t.id = %(tenant_id)s
join booking.staff p on p.tenant_id = %(tenant_id)s and p.id = a.staff_id
join booking.locations l on l.tenant_id = %(tenant_id)s and l.id = a.location_id
cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
left join calculated c
  on c.staff_id = a.staff_id and c.location_id = a.location_id and c.shape_id = a.shape_id
  and c.start_time = a.start_time
left join lateral (
  select r.source, r.id, r.starts_at, r.ends_at
  from booking.schedule_rows(%(tenant_id)s, a.staff_id, a.location_id, a.start_time) r
  where r.covers and not r.is_cut
  order by r.starts_at, r.id
  limit 1
) as opened on true
order by a.number
