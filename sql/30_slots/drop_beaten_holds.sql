-- Deletes the holds that live appointments have beaten, within these claims of these people: holds
-- of other slots that one overlaps or leaves no time to travel to or from, and of its own slot the
-- hold with its seat. Runs under the calendars' locks; the hold columns follow through the trigger
-- on slot_reservations.
create or replace function booking.drop_beaten_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- One look into the index of claims for each hold: to hash them by person would compare each with
-- each.
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id);
begin
  perform
  from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids);
  if not found then
    return;
  end if;

  with near as materialized (
    select h.id, h.staff_id, h.location_id, h.slot_id, h.seat, h.claim
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids)
      and exists (
        select
        from unnest(p_staff_ids, p_claims) as c(staff_id, claim)
        where c.staff_id = h.staff_id and h.claim && booking.widened(c.claim, v_reach)
      )
  )
  delete from booking.slot_reservations h
  using near n
  where h.tenant_id = p_tenant_id and h.id = n.id
    and exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = n.staff_id
        and a.claim && booking.widened(n.claim, v_reach)
        and upper(a.claim) > lower(n.claim) - v_reach and a.status <> 'cancelled'
        and (a.slot_id is distinct from n.slot_id or a.seat = n.seat)
        and n.claim && booking.barred_period(
          p_tenant_id, a.claim, a.location_id, n.location_id
        )
    );
end
$$;

comment on function booking.drop_beaten_holds(uuid, uuid[], tstzrange[]) is
  'Deletes the holds of p_staff_ids[i] around p_claims[i] that a live appointment bars.';
