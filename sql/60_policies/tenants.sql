-- tenants: everyone may see that an active one exists.
drop policy if exists everyone_reads_active on booking.tenants;

create policy everyone_reads_active on booking.tenants
for select to anon, authenticated, service_role
using (is_active);
