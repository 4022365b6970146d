-- locations: everyone may see active ones.
drop policy if exists everyone_reads_active on booking.locations;

create policy everyone_reads_active on booking.locations
for select to anon, authenticated, service_role
using (is_active);
