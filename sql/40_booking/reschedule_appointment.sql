-- Moves an appointment to another slot, atomically: its own time is free for the move, and is lost
-- only when the new one is won. The new slot may be held by the caller's session or simply free;
-- it must fit the appointment's service. Starts that the listing shows are taken as well as those
-- it would show without this appointment. Price, payment and manage_token stay.
--
-- Locks the appointment's row, then both calendars in staff_id order, then looks. Refuses:
-- not_authenticated, not_found, forbidden, invalid_request, slot_not_found, invalid_status,
-- too_late, slot_taken, appointment_conflict (held, but the calendar has changed since).
create or replace function booking.reschedule_appointment(
  p_appointment booking.appointments,
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_appointment booking.appointments;
  v_hold booking.slot_reservations;
  v_shape_id uuid;
  v_state record;
  v_state_now record;
  v_seat integer;
begin
  if p_request ->> 'session_id' is not null then
    perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  end if;
  v_appointment := booking.lock_appointment(p_appointment, p_request);
  if v_appointment.slot_id = (p_request ->> 'slot_id')::uuid and v_appointment.status <> 'cancelled'
  then
    -- Moved before, and asked again.
    return booking.moved(v_appointment);
  end if;
  perform booking.require_slot(p_slot, p_request);
  -- Staff move between calendars that are theirs; customers to whoever offers the service.
  if booking.caller_may_write(v_appointment.tenant_id, v_appointment.staff_id)
    and not booking.caller_may_write(p_slot.tenant_id, p_slot.staff_id)
  then
    perform booking.refuse('forbidden', 'The new slot is in a colleague''s calendar.');
  end if;

  perform booking.lock_calendars(
    v_appointment.tenant_id, array[v_appointment.staff_id, p_slot.staff_id]
  );
  v_now := booking.now();
  perform booking.require_changeable(v_appointment);

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id and h.expires_at > v_now
    and case
      when p_session_hash is null then h.customer_id = booking.caller_id()
      else h.session_hash = p_session_hash
    end
  limit 1;

  -- A hold keeps its start where the service's step or notice, and so its shape, has changed since.
  select y.shape_id into v_shape_id
  from booking.appointment_types y
  join booking.staff_appointment_types o
    on o.tenant_id = y.tenant_id and o.appointment_type_id = y.id
  where y.tenant_id = v_appointment.tenant_id and y.id = v_appointment.appointment_type_id
    and o.staff_id = p_slot.staff_id
    and (
      y.shape_id = p_slot.shape_id
      or (
        v_hold.id is not null
        and booking.have_same_claims(y.tenant_id, y.shape_id, p_slot.shape_id)
      )
    );

  select s.* into v_state
  from booking.calculate_slot(
    p_slot.tenant_id, p_slot.staff_id, p_slot.location_id,
    coalesce(v_shape_id, p_slot.shape_id), p_slot.start_time, v_appointment.id
  ) s;

  if v_hold.id is not null and not coalesce(v_state.is_free, false) then
    perform booking.refuse_changed();
  end if;

  -- What the listing would show without this appointment, else what it does show: grids and compact
  -- schedules depend on what is booked.
  if v_hold.id is null
    and not coalesce(v_state.is_on_grid and v_state.is_available and v_state.is_bookable, false)
  then
    select s.* into v_state_now
    from booking.calculate_slot(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
    ) s;
    if not coalesce(
      v_state_now.is_on_grid and v_state_now.is_available and v_state_now.is_bookable
        and v_state.is_free,
      false
    ) then
      perform booking.refuse_taken();
    end if;
  end if;

  if v_hold.id is not null then
    -- The appointment takes the hold's time, and its trigger publishes both.
    perform set_config('booking.refresh_follows', 'on', true);
    delete from booking.slot_reservations h
    where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;
    perform set_config('booking.refresh_follows', '', true);
  end if;

  perform
  from booking.holds_in_the_way(
    p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, v_state.claim
  ) h
  where not coalesce(
    h.session_hash = p_session_hash or h.customer_id = booking.caller_id(), false
  );
  if found then
    perform booking.refuse_taken();
  end if;

  if v_hold.id is null and not (v_state.capacity > 1 and v_state.booked > 0)
    and booking.day_is_full_until(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, p_slot.start_time,
      v_state.end_time, v_appointment.id
    ) is not null
  then
    perform booking.refuse_taken();
  end if;

  v_seat := booking.free_seat(p_slot.tenant_id, p_slot.id, v_state.capacity, v_hold.seat);
  if v_seat is null then
    perform booking.refuse_taken();
  end if;

  if v_shape_id is null then
    perform booking.refuse(
      'invalid_request',
      'slot_id is a slot for another service; expected one for the appointment''s own.'
    );
  end if;

  update booking.appointments a
  set staff_id = p_slot.staff_id,
    location_id = p_slot.location_id,
    shape_id = p_slot.shape_id,
    slot_id = p_slot.id,
    seat = v_seat,
    start_time = p_slot.start_time,
    end_time = v_state.end_time,
    buffer_before_minutes = sh.buffer_before_minutes,
    buffer_after_minutes = sh.buffer_after_minutes
  from booking.slot_shapes sh
  where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id
    and sh.tenant_id = p_slot.tenant_id and sh.id = p_slot.shape_id
  returning a.* into v_appointment;

  return booking.moved(v_appointment);
end
$$;

comment on function booking.reschedule_appointment(
  booking.appointments, booking.availability_slots, bytea, jsonb
) is
  'Worker of api.reschedule_appointment: moves an appointment to another slot, or refuses.';

-- Where an appointment is now.
create or replace function booking.moved(p_appointment booking.appointments) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'appointment_id', p_appointment.id,
    'slot_id', p_appointment.slot_id,
    'staff_id', p_appointment.staff_id,
    'location_id', p_appointment.location_id,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'seat', p_appointment.seat,
    'message', 'The appointment is at the new time.'
  );
end
$$;

comment on function booking.moved(booking.appointments) is 'The answer to a move.';
