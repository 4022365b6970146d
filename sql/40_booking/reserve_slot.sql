-- Holds a slot for a session, hold_minutes long: one atomic step. Slot and every slot that its
-- claim overlaps or leaves no time to travel to are hidden until then (the hold's triggers publish
-- that), and so is a day that is full with it. The same session asking again gets the same answer
-- and no longer hold; its own holds that are in the way are replaced, and stay if the new one
-- cannot be had, because a refusal takes everything back. A hold for a service quotes its price
-- (booking.price_of), and keeps the quote until it is for another service.
--
-- Locks the session (two calls of one session must not pass max_holds_per_session together), then
-- the calendar; looks afterwards (current_slot), and reads the clock once. A slot that is published
-- as taken, or not published though its day is, is refused without any lock, and so is one beyond
-- the published days that the calculator does not offer: nobody makes bookers wait by asking for
-- it, and busy takes as long as off duty.
--
-- Refuses: invalid_request, slot_not_found, slot_taken, hold_limit_reached, appointment_conflict
-- (held already, for a service that the tenant has withdrawn since).
create or replace function booking.reserve_slot(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_type booking.appointment_types;
  v_hold booking.slot_reservations;
  v_claim tstzrange := p_slot.claim;
  v_state record;
  v_are_others_in_the_way boolean;
  v_ids_in_the_way uuid[];
  v_most_holds integer;
  v_hold_minutes integer;
  v_holds integer;
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  perform booking.require_slot(p_slot, p_request);

  if p_slot.reserved_until > v_now or not p_slot.is_available
    or p_slot.bookable_until <= v_now or p_slot.bookable_from > v_now
    or (p_slot.calculated_at is null and not booking.has_row(p_slot) and (
      booking.is_published(p_slot) or not coalesce((
        select s.is_on_grid and s.is_available and s.is_bookable
        from booking.calculate_slot(
          p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
        ) s
      ), false)
    ))
  then
    perform
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
      and h.session_hash = p_session_hash and h.expires_at > v_now;
    if not found then
      perform booking.refuse_taken();
    end if;
  end if;

  perform booking.lock_session(p_slot.tenant_id, p_session_hash);
  perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);
  v_now := booking.now();

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash and h.expires_at > v_now;

  if not found then
    -- A slot that has no row was found without its claim.
    if v_claim is null then
      select booking.claim_of(
        p_slot.start_time, p_slot.start_time + sh.duration_minutes * interval '1 minute',
        sh.buffer_before_minutes, sh.buffer_after_minutes
      )
      into v_claim
      from booking.slot_shapes sh
      where sh.tenant_id = p_slot.tenant_id and sh.id = p_slot.shape_id;
    end if;

    -- Before the calculator, so that the losers of a rush cost little.
    select bool_or(h.session_hash <> p_session_hash), array_agg(h.id)
    into v_are_others_in_the_way, v_ids_in_the_way
    from booking.holds_in_the_way(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, v_claim
    ) h;
    if v_are_others_in_the_way then
      perform booking.refuse_taken();
    end if;

    select s.* into v_state
    from booking.current_slot(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
    ) s;
    if not coalesce(v_state.is_on_grid and v_state.is_available and v_state.is_bookable, false) then
      perform booking.refuse_taken();
    end if;

    -- What has expired goes as the hold comes (check_hold).
    if v_ids_in_the_way is not null then
      delete from booking.slot_reservations h
      where h.tenant_id = p_slot.tenant_id and h.id = any (v_ids_in_the_way);
    end if;

    -- A class that somebody attends has its day. Else one of the session's own holds makes room on
    -- a day that is full with them, the one that ends first.
    while not (v_state.capacity > 1 and v_state.booked > 0) and booking.day_is_full_until(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, p_slot.start_time,
      v_state.end_time
    ) is not null loop
      delete from booking.slot_reservations h
      where h.tenant_id = p_slot.tenant_id and h.id = (
        select o.id
        from booking.slot_reservations o
        join booking.locations l on l.tenant_id = o.tenant_id and l.id = p_slot.location_id
        join booking.tenants t on t.id = o.tenant_id
        cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
        where o.tenant_id = p_slot.tenant_id and o.staff_id = p_slot.staff_id
          and o.session_hash = p_session_hash and o.slot_id <> p_slot.id
          and o.claim && tstzrange(
            booking.first_instant((p_slot.start_time at time zone z.zone)::date, z.zone),
            booking.first_instant((v_state.end_time at time zone z.zone)::date + 1, z.zone)
          )
        order by o.expires_at, o.id
        limit 1
      );
      if not found then
        perform booking.refuse_taken();
      end if;
    end loop;

    v_hold.seat := booking.free_seat(p_slot.tenant_id, p_slot.id, v_state.capacity);
    if v_hold.seat is null then
      perform booking.refuse_taken();
    end if;
  end if;

  v_type := booking.offered_type(
    p_slot.tenant_id, p_slot.staff_id, p_slot.shape_id, p_request ->> 'appointment_type', v_hold
  );

  if v_hold.id is null then
    select t.hold_minutes, t.max_holds_per_session, (
      select count(*)
      from booking.slot_reservations h
      where h.tenant_id = t.id and h.session_hash = p_session_hash and h.expires_at > v_now
    )
    into v_hold_minutes, v_most_holds, v_holds
    from booking.tenants t
    where t.id = p_slot.tenant_id;

    if v_holds >= v_most_holds then
      perform booking.refuse(
        'hold_limit_reached',
        format('This session holds %s times already.', v_most_holds),
        null, 'Book or release one of them first.'
      );
    end if;

    insert into booking.slot_reservations (
      tenant_id, slot_id, staff_id, location_id, shape_id, start_time, claim, seat, session_hash,
      customer_id, appointment_type_id, quoted_price_cents, currency, capacity, expires_at
    )
    values (
      p_slot.tenant_id, p_slot.id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id,
      p_slot.start_time, v_claim, v_hold.seat, p_session_hash, booking.caller_id(),
      v_type.id,
      booking.price_of(
        p_slot.tenant_id, v_type.id, p_slot.staff_id, p_slot.location_id, p_slot.start_time
      ),
      v_type.currency, v_state.capacity,
      v_now + v_hold_minutes * interval '1 minute'
    )
    returning * into v_hold;
  elsif v_hold.appointment_type_id is distinct from coalesce(v_type.id, v_hold.appointment_type_id)
    or (v_hold.customer_id is null and booking.caller_id() is not null)
  then
    -- For another service, or signed in meanwhile.
    update booking.slot_reservations h
    set customer_id = coalesce(h.customer_id, booking.caller_id()),
      appointment_type_id = coalesce(v_type.id, h.appointment_type_id),
      quoted_price_cents = case
        when v_type.id = h.appointment_type_id or v_type.id is null then h.quoted_price_cents
        else booking.price_of(
          h.tenant_id, v_type.id, h.staff_id, h.location_id, h.start_time
        )
      end,
      currency = case
        when v_type.id = h.appointment_type_id or v_type.id is null then h.currency
        else v_type.currency
      end
    where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id
    returning * into v_hold;
  end if;

  return jsonb_strip_nulls(jsonb_build_object(
    'slot_id', v_hold.slot_id,
    'reserved_until', booking.iso_time(v_hold.expires_at),
    'seat', v_hold.seat,
    'price_cents', v_hold.quoted_price_cents,
    'currency', v_hold.currency,
    'message', format('Held for you until %s.', booking.iso_time(v_hold.expires_at))
  ));
end
$$;

comment on function booking.reserve_slot(booking.availability_slots, bytea, jsonb) is
  'Worker of api.reserve_slot: holds a slot for a session, or refuses.';
