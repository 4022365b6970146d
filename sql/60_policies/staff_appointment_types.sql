-- staff_appointment_types: everyone may see who offers what; the view asks whether both are active.
drop policy if exists everyone_reads_all on booking.staff_appointment_types;

create policy everyone_reads_all on booking.staff_appointment_types
for select to anon, authenticated, service_role
using (true);
