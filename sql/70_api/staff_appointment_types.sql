-- Who offers what, of active people, types and tenants.
create or replace view api.staff_appointment_types with (security_invoker = true) as
select o.tenant_id, o.staff_id, o.appointment_type_id
from booking.staff_appointment_types o
where exists (select from booking.tenants t where t.id = o.tenant_id and t.is_active)
  and exists (
    select
    from booking.staff s
    where s.tenant_id = o.tenant_id and s.id = o.staff_id and s.is_active
  )
  and exists (
    select from booking.appointment_types y
    where y.tenant_id = o.tenant_id and y.id = o.appointment_type_id and y.is_active
  );

comment on view api.staff_appointment_types is
  'Who offers which service
Active people and services of active tenants.';
