-- Public names of active places of active tenants. The zone comes by scalar subquery and not by a
-- join: whoever tries to write is told by grants that they may not, and by nothing before.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.locations
with (security_invoker = true, security_barrier = true) as
select
  l.id, l.tenant_id, l.name,
  coalesce(
    l.timezone, (select t.timezone from booking.tenants t where t.id = l.tenant_id)
  ) as timezone
from booking.locations l
where l.is_active
  and exists (select from booking.tenants t where t.id = l.tenant_id and t.is_active);

comment on view api.locations is
  'Places where appointments happen
timezone is the IANA name in which the place''s dates and hours are meant; never null.';
