-- staff: everyone may see active people; a tenant's staff and admins, and the service, also
-- those that are no longer active, so that what they once did keeps its names. The public views ask
-- for active ones themselves.
drop policy if exists everyone_reads_active on booking.staff;

create policy everyone_reads_active on booking.staff
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.staff;

create policy members_read_all on booking.staff
for select to authenticated
using (is_active or tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.staff;

create policy service_reads_all on booking.staff
for select to service_role
using (true);
