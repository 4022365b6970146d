-- Live holds that leave no place for a slot: holds of other slots of the same person that its claim
-- overlaps, or from which there is no time to travel (rule 4, holds read as appointments). One
-- predicate for reserving, moving and explaining; what is published of it is reserved_until
-- (expected_slots). Reads only; ask under the calendar's lock.
create or replace function booking.holds_in_the_way(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_slot_id uuid,
  p_claim tstzrange
) returns setof booking.slot_reservations
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_reach interval := booking.longest_travel(p_tenant_id);
begin
  return query
  select h.*
  from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
    and h.claim && booking.widened(p_claim, v_reach)
    and h.slot_id <> p_slot_id and h.expires_at > v_now
    and p_claim && booking.barred_period(p_tenant_id, h.claim, h.location_id, p_location_id);
end
$$;

comment on function booking.holds_in_the_way(uuid, uuid, uuid, uuid, tstzrange) is
  'Live holds of other slots of a person that bar a claim at a place (design, section 4).';
