-- What a session holds, with all that is needed to show it and go on. The session id is a bearer
-- secret and must not stand in an address: a read-only transaction (GET) is refused with 25006,
-- which PostgREST answers with 405. In the frame of booking.answer; writes and locks nothing.
create or replace function booking.get_reservations(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if current_setting('transaction_read_only') = 'on' then
    raise exception using
      errcode = 'read_only_sql_transaction',
      message = 'get_reservations is for POST: a session_id must not stand in an address';
  end if;

  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);

  return jsonb_build_object('reservations', coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'slot_id', h.slot_id,
      'tenant_id', h.tenant_id,
      'staff_id', h.staff_id,
      'location_id', h.location_id,
      'start_time', booking.iso_time(h.start_time),
      'end_time', booking.iso_time(
        h.start_time + sh.duration_minutes * interval '1 minute'
      ),
      'duration_minutes', sh.duration_minutes,
      'seat', h.seat,
      'appointment_type', y.code,
      'price_cents', h.quoted_price_cents,
      'currency', h.currency,
      'reserved_until', booking.iso_time(h.expires_at)
    )) order by h.start_time, h.slot_id)
    from booking.slot_reservations h
    join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
    left join booking.appointment_types y
      on y.tenant_id = h.tenant_id and y.id = h.appointment_type_id
    where h.session_hash = sha256(convert_to(p_request ->> 'session_id', 'UTF8'))
      and h.expires_at > booking.now()
  ), '[]'));
end
$$;

comment on function booking.get_reservations(jsonb) is
  'Worker of api.get_reservations: the live holds of a session.';
