-- Public names of active places of active tenants.
create or replace view api.locations with (security_invoker = true) as
select l.id, l.tenant_id, l.name, coalesce(l.timezone, t.timezone) as timezone
from booking.locations l
join booking.tenants t on t.id = l.tenant_id;

comment on view api.locations is
  'Places where appointments happen
timezone is the IANA name in which the place''s dates and hours are meant; never null.';
