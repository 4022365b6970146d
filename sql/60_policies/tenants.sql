-- tenants: everyone may see that an active one exists; a tenant's staff and admins, and the
-- service, also those that are no longer active, so that what they once did keeps its names. The
-- public views ask for active ones themselves.
drop policy if exists everyone_reads_active on booking.tenants;

create policy everyone_reads_active on booking.tenants
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.tenants;

create policy members_read_all on booking.tenants
for select to authenticated
using (is_active or id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.tenants;

create policy service_reads_all on booking.tenants
for select to service_role
using (true);
