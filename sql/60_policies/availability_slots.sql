-- availability_slots: everyone may see what can be booked now. The clock and the private columns
-- are the policy's business, so that callers need no right to them; (select …) asks once per
-- query.
drop policy if exists everyone_reads_bookable on booking.availability_slots;

create policy everyone_reads_bookable on booking.availability_slots
for select to anon, authenticated, service_role
using (
  is_available
  and bookable_until > (select booking.now())
  and (bookable_from is null or bookable_from <= (select booking.now()))
  and (reserved_until is null or reserved_until <= (select booking.now()))
);
