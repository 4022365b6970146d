-- staff: everyone may see active people.
drop policy if exists everyone_reads_active on booking.staff;

create policy everyone_reads_active on booking.staff
for select to anon, authenticated, service_role
using (is_active);
