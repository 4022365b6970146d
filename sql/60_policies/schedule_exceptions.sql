-- schedule_exceptions: a tenant's staff and admins read all of the tenant's; staff write their own,
-- admins everyone's and those for all; the service works everywhere.
drop policy if exists members_read on booking.schedule_exceptions;

create policy members_read on booking.schedule_exceptions
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists members_insert on booking.schedule_exceptions;

create policy members_insert on booking.schedule_exceptions
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.schedule_exceptions;

create policy members_update on booking.schedule_exceptions
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_delete on booking.schedule_exceptions;

create policy members_delete on booking.schedule_exceptions
for delete to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.schedule_exceptions;

create policy service_does_all on booking.schedule_exceptions
for all to service_role
using (true)
with check (true);
