-- Deletes the holds that live appointments have beaten, within these claims of these people: holds
-- of other slots that overlap one, and of its own slot the hold with its seat. Runs under the
-- calendars' locks; the hold columns follow through the trigger on slot_reservations.
create or replace function booking.drop_beaten_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  delete from booking.slot_reservations h
  using unnest(p_staff_ids, p_claims) as c(staff_id, claim), booking.appointments a
  where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id and h.claim && c.claim
    and a.tenant_id = p_tenant_id and a.staff_id = h.staff_id and a.claim && h.claim
    and a.status <> 'cancelled'
    and (a.slot_id is distinct from h.slot_id or a.seat = h.seat);
end
$$;

comment on function booking.drop_beaten_holds(uuid, uuid[], tstzrange[]) is
  'Deletes the holds of p_staff_ids[i] within p_claims[i] that a live appointment overlaps.';
