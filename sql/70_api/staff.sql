-- Public names of active people of active tenants.
create or replace view api.staff with (security_invoker = true) as
select s.id, s.tenant_id, s.display_name
from booking.staff s
where exists (select from booking.tenants t where t.id = s.tenant_id);

comment on view api.staff is
  'People who can be booked
Their public names, for active people of active tenants.';
