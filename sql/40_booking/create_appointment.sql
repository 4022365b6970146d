-- Books what the caller holds. The hold must be theirs (by session, or of the signed-in customer)
-- and alive; the calculator is asked again for rules 1, 3 and 4, and the hold keeps what 2, 5 and
-- 6 had granted (promise P3). Hold out, appointment in, slots recalculated by their triggers: one
-- step.
--
-- An idempotency_key, per tenant and caller: the same request again gets the same appointment and a
-- new manage_token in place of the old (it is kept as SHA-256 only); another one is refused. Two at
-- once: the second waits for the first at the calendar, or at the key's index, and then replays.
--
-- The price is what the hold quoted; where it quoted none for this service, what that costs now.
-- It stays, whatever becomes of the tenant's rules or of the appointment's time. Where the service
-- costs something and wants payment first, the appointment is pending until payment_due_at, and
-- takes its time all the same.
--
-- Locks the customer, where the tenant limits their open appointments, then the calendar; of a
-- replay only the appointment's row. Refuses: not_authenticated, invalid_request, slot_not_found,
-- reservation_expired, customer_limit_reached, appointment_conflict, idempotency_conflict.
create or replace function booking.create_appointment(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_is_service boolean := coalesce(booking.caller_role() = 'service_role', false);
  v_caller_id uuid := booking.caller_id();
  v_tenant_id uuid := coalesce(p_slot.tenant_id, (p_request ->> 'tenant_id')::uuid);
  v_key text := p_request ->> 'idempotency_key';
  v_request_hash bytea := sha256(convert_to((p_request - 'tenant_id')::text, 'UTF8'));
  v_token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_token_hash bytea := sha256(convert_to(v_token, 'UTF8'));
  v_due_minutes integer;
  v_hold booking.slot_reservations;
  v_type booking.appointment_types;
  v_appointment booking.appointments;
  v_state record;
begin
  if v_caller_id is null and not v_is_service then
    perform booking.refuse(
      'not_authenticated', 'Nobody is signed in.', null,
      'Sign in; for guests the service books.'
    );
  end if;

  perform booking.check_customer(p_request -> 'user_data');
  perform booking.require_length('appointment_type', p_request ->> 'appointment_type', 1, 100);
  if v_is_service or p_request ->> 'session_id' is not null then
    perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  end if;
  perform booking.require_length('notes', p_request ->> 'notes', 0, 2000, true);
  if v_key is not null then
    perform booking.require_length('idempotency_key', v_key, 1, 255);
  end if;
  if not coalesce(booking.is_slot_id((p_request ->> 'slot_id')::uuid), false) then
    perform booking.refuse('slot_not_found', 'slot_id is not the id of a slot.');
  end if;

  if v_key is null or not booking.was_booked(v_tenant_id, v_key) then
    select h.* into v_hold
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
      and case
        when p_session_hash is null then h.customer_id = v_caller_id
        else h.session_hash = p_session_hash
      end
      and h.expires_at > booking.now()
    order by h.expires_at
    limit 1;
    -- Only who holds something makes others wait for the lock.
    if found then
      perform booking.lock_customer(v_hold.tenant_id, v_caller_id, p_request -> 'user_data');
      perform booking.lock_calendars(v_hold.tenant_id, array[v_hold.staff_id]);
    end if;
  end if;
  v_now := booking.now();

  if v_key is not null and booking.was_booked(v_tenant_id, v_key) then
    update booking.appointments a
    set manage_token_hash = v_token_hash
    where a.idempotency_key = v_key and a.customer_id is not distinct from v_caller_id
      and (v_tenant_id is null or a.tenant_id = v_tenant_id)
      and a.request_hash = v_request_hash
    returning a.* into v_appointment;
    if not found then
      perform booking.refuse(
        'idempotency_conflict', 'This idempotency_key has come with another request.', null,
        'Use a new key for each booking.'
      );
    end if;
    return booking.booked(v_appointment, v_token);
  end if;

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id and h.expires_at > v_now;
  if not found then
    perform booking.refuse(
      'reservation_expired', 'This slot is not held for you, or no longer.', null,
      'Reserve a slot, then book it.'
    );
  end if;

  perform booking.require_within_customer_limit(
    v_hold.tenant_id, v_caller_id, p_request -> 'user_data'
  );

  v_type := booking.offered_type(
    v_hold.tenant_id, v_hold.staff_id, v_hold.shape_id, p_request ->> 'appointment_type', v_hold
  );

  select s.* into v_state
  from booking.current_slot(
    v_hold.tenant_id, v_hold.staff_id, v_hold.location_id, v_type.shape_id, v_hold.start_time
  ) s;
  if not coalesce(v_state.is_free, false) then
    perform booking.refuse_changed();
  end if;

  -- The appointment takes the hold's time, and its trigger publishes both.
  perform set_config('booking.refresh_follows', 'on', true);
  delete from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;
  perform set_config('booking.refresh_follows', '', true);

  select t.payment_due_minutes into v_due_minutes
  from booking.tenants t
  where t.id = v_hold.tenant_id;
  if v_type.id is distinct from v_hold.appointment_type_id then
    v_hold.quoted_price_cents := booking.price_of(
      v_hold.tenant_id, v_type.id, v_hold.staff_id, v_hold.location_id, v_hold.start_time
    );
    v_hold.currency := v_type.currency;
  end if;

  insert into booking.appointments (
    tenant_id, staff_id, location_id, appointment_type_id, shape_id, slot_id, seat, start_time,
    end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
    price_cents, currency, payment_status, payment_due_at, idempotency_key, request_hash,
    manage_token_hash, source
  )
  select
    v_hold.tenant_id, v_hold.staff_id, v_hold.location_id, v_type.id, v_hold.shape_id,
    v_hold.slot_id, v_hold.seat, v_hold.start_time, v_state.end_time, sh.buffer_before_minutes,
    sh.buffer_after_minutes,
    case when payment.is_due then 'pending' else 'confirmed' end,
    v_caller_id, p_request -> 'user_data', p_request ->> 'notes',
    v_hold.quoted_price_cents, v_hold.currency,
    case when payment.is_due then 'pending' else 'not_required' end,
    case when payment.is_due then v_now + v_due_minutes * interval '1 minute' end,
    v_key, case when v_key is not null then v_request_hash end, v_token_hash, 'api'
  from booking.slot_shapes sh
  cross join lateral (
    select v_type.requires_payment and v_hold.quoted_price_cents > 0 as is_due
  ) as payment
  where sh.tenant_id = v_hold.tenant_id and sh.id = v_hold.shape_id
  returning * into v_appointment;

  return booking.booked(v_appointment, v_token);
end
$$;

comment on function booking.create_appointment(booking.availability_slots, bytea, jsonb) is
  'Worker of api.create_appointment: turns the caller''s hold into an appointment, or refuses.';

-- Whether this caller has booked with this key before; tenant null: wherever. Reads only.
create or replace function booking.was_booked(p_tenant_id uuid, p_key text) returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return exists (
    select from booking.appointments a
    where a.idempotency_key = p_key and a.customer_id is not distinct from booking.caller_id()
      and (p_tenant_id is null or a.tenant_id = p_tenant_id)
  );
end
$$;

comment on function booking.was_booked(uuid, text) is
  'Whether the caller has booked in this tenant (null: in any) with this idempotency_key.';

-- What the customer gets to know. The token is shown here and never again.
create or replace function booking.booked(p_appointment booking.appointments, p_token text)
returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_is_due boolean := p_appointment.status = 'pending'
    and p_appointment.payment_status in ('pending', 'failed');
begin
  return jsonb_build_object(
    'appointment_id', p_appointment.id,
    'status', p_appointment.status,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'price_cents', p_appointment.price_cents,
    'currency', p_appointment.currency,
    'manage_token', p_token,
    'payment_required', v_is_due,
    'payment_due_at', booking.iso_time(p_appointment.payment_due_at),
    'payment_url', case when v_is_due then booking.payment_url(p_appointment) end
  );
end
$$;

comment on function booking.booked(booking.appointments, text) is
  'The answer to a booking: the appointment and its manage_token.';
