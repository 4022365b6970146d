-- The tenants that follow the old system: all, or the one of that id or slug.
select
  t.tenant_id as id, n.name, n.timezone, t.external_id, t.is_switched, t.copied_at,
  (
    select count(*) from booking_adoption.calendars c where c.tenant_id = t.tenant_id
  ) as calendars,
  (
    select count(*) from booking_adoption.calendars c
    where c.tenant_id = t.tenant_id and c.copied_at is not null
  ) as calendars_copied,
  (
    select count(*) from booking_adoption.calendars c
    where c.tenant_id = t.tenant_id and c.is_switched
  ) as calendars_switched,
  (
    select count(*) from booking.busy_times b
    where b.tenant_id = t.tenant_id and b.source = booking_adoption.source_of('appointments')
      and b.end_time > booking.now()
  ) as busy_times_ahead,
  (
    select count(*)
    from booking_adoption.links k
    join booking.appointments a on a.tenant_id = k.tenant_id and a.id = k.row_id
    where k.tenant_id = t.tenant_id and k.section = 'appointments' and a.status <> 'cancelled'
      and a.end_time > booking.now()
  ) as appointments_ahead
from booking_adoption.tenants t
join booking.tenants n on n.id = t.tenant_id
where %(tenant)s::text is null or t.tenant_id::text = %(tenant)s or exists (
  select from booking.tenant_slugs s where s.tenant_id = t.tenant_id and s.slug = %(tenant)s
)
order by n.name, t.tenant_id
