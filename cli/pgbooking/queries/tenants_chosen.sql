-- The tenant with this id or slug, or (null) every tenant.
select
  t.id, t.name, t.timezone,
  (select min(s.slug) from booking.tenant_slugs s where s.tenant_id = t.id) as slug
from booking.tenants t
where %(tenant)s::text is null
  or t.id::text = lower(%(tenant)s::text)
  or t.id = (select s.tenant_id from booking.tenant_slugs s where s.slug = lower(%(tenant)s::text))
order by t.name, t.id
