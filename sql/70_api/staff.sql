-- Public names of active people of active tenants.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.staff
with (security_invoker = true, security_barrier = true) as
select s.id, s.tenant_id, s.display_name
from booking.staff s
where s.is_active
  and exists (select from booking.tenants t where t.id = s.tenant_id and t.is_active);

comment on view api.staff is
  'People who can be booked
Their public names, for active people of active tenants.';
