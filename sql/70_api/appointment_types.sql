-- What can be booked, of active tenants.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.appointment_types
with (security_invoker = true, security_barrier = true) as
select
  y.id, y.tenant_id, y.shape_id, y.code, y.name, y.duration_minutes, y.price_cents, y.currency,
  y.requires_payment, y.capacity
from booking.appointment_types y
where y.is_active
  and exists (select from booking.tenants t where t.id = y.tenant_id and t.is_active);

comment on view api.appointment_types is
  'Services that can be booked
shape_id tells which slots fit the service; price_cents is gross, in hundredths of the currency;
capacity above 1 is a class.';
