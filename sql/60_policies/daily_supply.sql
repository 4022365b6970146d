-- daily_supply: a tenant's admins, and the service, read what the tenant's days came to.
drop policy if exists admins_read on booking.daily_supply;

create policy admins_read on booking.daily_supply
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[]));

drop policy if exists service_reads_all on booking.daily_supply;

create policy service_reads_all on booking.daily_supply
for select to service_role
using (true);
