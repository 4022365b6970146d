-- appointment_types: everyone may see active ones.
drop policy if exists everyone_reads_active on booking.appointment_types;

create policy everyone_reads_active on booking.appointment_types
for select to anon, authenticated, service_role
using (is_active);
