-- Gives a hold back before its time. The slot is free at once, unless another hold still covers it
-- (the hold's triggers publish that). Locks the calendar, then deletes. Refuses: invalid_request,
-- not_found, which is also what another session's hold looks like.
create or replace function booking.release_slot(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);

  -- Only who holds it makes others wait for the lock.
  perform
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash;
  if found then
    perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);
  end if;

  delete from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash and h.expires_at > booking.now();
  if not found then
    perform booking.refuse('not_found', 'This session holds no such slot.');
  end if;
  return jsonb_build_object('slot_id', p_slot.id, 'message', 'Released.');
end
$$;

comment on function booking.release_slot(booking.availability_slots, bytea, jsonb) is
  'Worker of api.release_slot: ends a session''s hold, or refuses.';
