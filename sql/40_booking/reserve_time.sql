-- Holds a time of a service with whoever's turn it is (booking.rank_free_people), as reserve_slot
-- holds a slot. The same session asking again for the same time and service gets the same slot and
-- the same end; and where nobody else is free, a hold of its own that is in the way gives way.
--
-- Locks the session to the end, so that its own calls come one after the other and it holds no more
-- than it may, whatever becomes of a try. Then tries the free people in turn, each in a
-- subtransaction, which gives the calendar back where somebody was faster: there is never more than
-- one calendar locked, so the order of people cannot deadlock. A slot's row is read anew before
-- each try; reserve_slot refuses what is published as taken without any lock. Whose calendar
-- somebody writes for long is passed over while others are free, and waited for at the end.
--
-- Refuses: invalid_request, not_found, slot_taken (nobody is free then, or no longer), and whatever
-- else reserve_slot says to the first who is free: hold_limit_reached, appointment_conflict.
create or replace function booking.reserve_time(p_session_hash bytea, p_request jsonb)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_start_time timestamptz := (p_request ->> 'start_time')::timestamptz;
  v_type booking.appointment_types;
  v_end_time timestamptz;
  v_claim tstzrange;
  v_free record;
  v_busy jsonb[] := array[]::jsonb[];
  v_request jsonb;
  v_answer jsonb;
  v_code text;
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  perform booking.require_given('start_time', v_start_time::text, 'a time');
  perform booking.require_time('start_time', v_start_time);
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_location(v_tenant_id, v_location_id);
  v_type := booking.require_type(v_tenant_id, p_request ->> 'appointment_type');

  perform booking.lock_session(v_tenant_id, p_session_hash);

  v_end_time := v_start_time + v_type.duration_minutes * interval '1 minute';
  v_claim := booking.claim_of(
    v_start_time, v_end_time, v_type.buffer_before_minutes, v_type.buffer_after_minutes
  );

  for v_free in
    select f.slot_id, f.staff_id, f.location_id
    from (
      -- What the session holds already, and last what it holds instead.
      select own.slot_id, own.staff_id, own.location_id, own.turn
      from booking.slot_reservations h
      cross join lateral (
        select h.slot_id, h.staff_id, h.location_id, 0 as turn
        where h.start_time = v_start_time and h.appointment_type_id = v_type.id
        union all
        select
          booking.slot_id(v_tenant_id, o.staff_id, h.location_id, v_start_time, v_type.shape_id),
          o.staff_id, h.location_id, 2147483647
        from booking.staff_appointment_types o
        where o.tenant_id = v_tenant_id and o.staff_id = h.staff_id
          and o.appointment_type_id = v_type.id and h.claim && v_claim
      ) as own
      where h.tenant_id = v_tenant_id and h.session_hash = p_session_hash
        and (v_location_id is null or h.location_id = v_location_id)
        and h.expires_at > booking.now()
      union all
      select r.slot_id, r.staff_id, r.location_id, r.turn
      from booking.rank_free_people(v_tenant_id, v_type, v_location_id, v_start_time)
        with ordinality as r(slot_id, staff_id, location_id, turn)
    ) f
    order by f.turn, f.slot_id
  loop
    v_request := p_request || jsonb_build_object(
      'slot_id', v_free.slot_id, 'staff_id', v_free.staff_id, 'location_id', v_free.location_id
    );
    begin
      perform set_config('lock_timeout', '500ms', true);
      v_answer := booking.reserve_slot(
        booking.find_slot(v_request, p_session_hash), p_session_hash, v_request
      );
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics v_code = constraint_name;
        if v_code <> 'slot_taken' then
          raise;
        end if;
      when lock_not_available then
        v_busy := v_busy || v_request;
    end;
  end loop;

  -- The first of those whom somebody else had locked: now as long as anybody waits (attempt).
  if v_answer is null and cardinality(v_busy) > 0 then
    v_request := v_busy[1];
    v_answer := booking.reserve_slot(
      booking.find_slot(v_request, p_session_hash), p_session_hash, v_request
    );
  end if;
  if v_answer is null then
    perform booking.refuse_taken();
  end if;
  return v_answer || jsonb_build_object(
    'staff_id', v_request ->> 'staff_id',
    'location_id', v_request ->> 'location_id',
    'start_time', booking.iso_time(v_start_time),
    'end_time', booking.iso_time(v_end_time)
  );
end
$$;

comment on function booking.reserve_time(bytea, jsonb) is
  'Worker of api.reserve_time: holds a time of a service with whoever''s turn it is, or refuses.';
