-- appointments: customers read their own; a tenant's staff and admins read all of the tenant's;
-- staff write in their own calendar, admins in everyone's (the row trigger checks that tenant and
-- person belong together); the service works everywhere. Nobody deletes: appointments are
-- cancelled.
drop policy if exists customers_and_members_read on booking.appointments;

create policy customers_and_members_read on booking.appointments
for select to authenticated
using (
  customer_id = (select booking.caller_id())
  or tenant_id = any ((select booking.member_tenant_ids())::uuid[])
);

drop policy if exists members_insert on booking.appointments;

create policy members_insert on booking.appointments
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.appointments;

create policy members_update on booking.appointments
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.appointments;

create policy service_does_all on booking.appointments
for all to service_role
using (true)
with check (true);
