-- The frame around every function that changes what is booked or held. The functions in "api" call
-- it with their own name and their arguments; it finds what they are about, lets the worker of that
-- name do the work in a subtransaction, and afterwards, whatever became of it, writes the one audit
-- row and sets the HTTP status.
--
--   refused         (PB001, raised anywhere below)   what was done is taken back; the code is told
--   no lock in 2 s  (55P03), an old snapshot (40001)  busy
--   out of time     (57014), waiting in several queues busy
--   deadlock        (40P01)                           once more, then busy
--   unique          (23505)                           once more: an equal request was faster
--   no such name    (42…, or XX000: cache lookup failed)
--                                                     once more: another release has just come
--   overlap         (23P01), row gone (23503)         slot_taken or appointment_conflict, without
--                                                     the detail, which shows the other's time
--
-- Any other error is a fault and passes through. A refusal is an answer and not an error because an
-- error would take its own audit row with it. Locks, in this order: the session (reserving only),
-- the customer (booking only) or the appointment's row, then calendars by staff_id. The lock
-- timeout lies below the statement timeouts that callers have (Supabase: 3 s for anon): waiting in
-- vain is on record, too. It counts anew for each wait, so running out of time, which comes once,
-- is caught as well.
--
-- Calls are counted before anything else; what is too many is refused and leaves no audit row, or a
-- flood would fill the disk. The count is kept whatever becomes of the call; reserving times and
-- slots is one count.
--
-- Runs as the owner because callers may touch no table. Who they are, token claims say; each worker
-- asks before it does anything. Read-only transactions (GET) fail with 25006 at once: secrets must
-- not stand in an address, and which write fails first would tell what is free.
create or replace function booking.attempt(p_action text, p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
-- Plans are made once a session, and not for what they are first asked.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  c_unknown_tenant constant uuid := uuid '00000000-0000-0000-0000-000000000000';
  v_request jsonb := p_request;
  v_session_hash bytea := sha256(convert_to(p_request ->> 'session_id', 'UTF8'));
  v_appointment booking.appointments;
  v_slot booking.availability_slots;
  v_tenant_id uuid;
  v_seconds integer;
  v_answer jsonb;
  v_code text;
  v_message text;
  v_details text;
  v_hint text;
begin
  if current_setting('transaction_read_only') = 'on' then
    raise exception using
      errcode = 'read_only_sql_transaction',
      message = format('%s is for POST: it changes something', p_action);
  end if;

  v_seconds := booking.seconds_to_wait(
    case p_action when 'reserve_time' then 'reserve_slot' else p_action end
  );
  if v_seconds > 0 then
    return booking.refuse_calls(v_seconds);
  end if;

  if v_request ->> 'appointment_id' is not null then
    v_appointment := booking.find_appointment(v_request);
  end if;
  if v_appointment.tenant_id is not null then
    v_request := v_request || jsonb_build_object('tenant_id', v_appointment.tenant_id);
  end if;
  if v_request ->> 'slot_id' is not null then
    v_slot := booking.find_slot(v_request, v_session_hash);
  end if;

  v_tenant_id := coalesce(v_appointment.tenant_id, v_slot.tenant_id);
  if v_tenant_id is null then
    if booking.caller_is_member((v_request ->> 'tenant_id')::uuid) then
      -- A member's own tenant is known without an appointment or slot; a stranger's word is not.
      v_tenant_id := (v_request ->> 'tenant_id')::uuid;
    elsif p_action = 'reserve_time' then
      -- Whoever reserves a time names a tenant and no slot.
      select t.id into v_tenant_id
      from booking.tenants t
      where t.id = (v_request ->> 'tenant_id')::uuid;
    end if;
  end if;

  -- Tells the triggers that this is no direct write.
  perform set_config('booking.is_audited', 'on', true);

  for v_try in 1..2 loop
    v_code := null;
    begin
      case p_action
        when 'reserve_slot' then
          v_answer := booking.reserve_slot(v_slot, v_session_hash, v_request);
        when 'reserve_time' then
          v_answer := booking.reserve_time(v_session_hash, v_request);
        when 'release_slot' then
          v_answer := booking.release_slot(v_slot, v_session_hash, v_request);
        when 'create_appointment' then
          v_answer := booking.create_appointment(v_slot, v_session_hash, v_request);
        when 'reschedule_appointment' then
          v_answer := booking.reschedule_appointment(
            v_appointment, v_slot, v_session_hash, v_request
          );
        when 'cancel_appointment' then
          v_answer := booking.cancel_appointment(v_appointment, v_request);
        when 'record_payment' then
          v_answer := booking.record_payment(v_appointment, v_request);
        when 'set_working_hours' then
          v_answer := booking.set_working_hours(v_request);
        when 'recalculate_availability' then
          v_answer := booking.recalculate_availability(v_request);
      end case;
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics
          v_code = constraint_name,
          v_message = message_text,
          v_details = pg_exception_detail,
          v_hint = pg_exception_hint;
        exit;
      when lock_not_available or serialization_failure or query_canceled then
        v_code := 'busy';
        exit;
      when deadlock_detected then
        v_code := 'busy';
        -- Whoever waited for us has our locks now, once it has woken up to take them.
        perform pg_sleep(0.1);
      when syntax_error_or_access_rule_violation or internal_error then
        -- Our functions were replaced while this ran; the second try runs what is there now.
        if v_try = 2 then
          raise;
        end if;
      when unique_violation or exclusion_violation or foreign_key_violation then
        v_code := case p_action
          when 'reserve_slot' then 'slot_taken'
          when 'reserve_time' then 'slot_taken'
          when 'reschedule_appointment' then 'slot_taken'
          when 'create_appointment' then 'appointment_conflict'
        end;
        if v_code is null then
          raise;
        end if;
    end;
  end loop;

  perform set_config('booking.is_audited', '', true);

  if v_code is null then
    if v_slot.tenant_id is null and v_appointment.tenant_id is null then
      -- A booking that was replayed long after.
      v_appointment := booking.find_appointment(v_request || v_answer);
    end if;
    v_answer := jsonb_build_object('success', true) || v_answer;
  else
    v_answer := booking.refusal(
      v_code,
      coalesce(v_message, case v_code
        when 'busy' then 'Too many people are booking here at this moment.'
        when 'slot_taken' then 'This time is no longer available.'
        else 'This time can no longer be booked.'
      end),
      v_details,
      coalesce(v_hint, case v_code
        when 'busy' then 'Try again in a second.'
        else 'Choose another time.'
      end),
      case v_code when 'busy' then 1 end
    );
  end if;

  insert into booking.audit_log (
    tenant_id, action, outcome, code, actor_id, actor_role, session_hash, address_hash, slot_id,
    appointment_id, staff_id, details
  )
  values (
    coalesce(v_tenant_id, v_appointment.tenant_id, c_unknown_tenant), p_action,
    case when v_code is null then 'success' else 'refused' end, v_code,
    booking.caller_id(), coalesce(booking.caller_role(), session_user), v_session_hash,
    booking.address_hash(), coalesce(p_request ->> 'slot_id', v_answer ->> 'slot_id')::uuid,
    coalesce(p_request ->> 'appointment_id', v_answer ->> 'appointment_id')::uuid,
    coalesce(
      v_slot.staff_id, v_appointment.staff_id,
      case when v_tenant_id is not null then (v_request ->> 'staff_id')::uuid end,
      (v_answer ->> 'staff_id')::uuid
    ),
    -- What it was about, for analytics.
    case when p_action in ('reserve_slot', 'reserve_time', 'create_appointment')
      then jsonb_strip_nulls(jsonb_build_object(
        'appointment_type_id', (
          select ty.id
          from booking.appointment_types ty
          where ty.tenant_id = v_tenant_id and ty.code = v_request ->> 'appointment_type'
        ),
        'location_id', coalesce(v_slot.location_id::text, v_answer ->> 'location_id'),
        'start_time', coalesce(booking.iso_time(v_slot.start_time), v_answer ->> 'start_time')
      ))
      else '{}'
    end
  );
  return v_answer;
end
$$;

comment on function booking.attempt(text, jsonb) is
  'Does what the function of that name in "api" promises: {"success": true, …}, or a refusal with
code, message, details and hint and response.status set. Leaves one row in audit_log.';
