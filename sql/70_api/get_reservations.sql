-- Worker: booking.get_reservations, in the frame of booking.answer.
create or replace function api.get_reservations(session_id text) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_reservations', jsonb_build_object(
    'session_id', get_reservations.session_id
  ));
end
$$;

comment on function api.get_reservations(text) is
  'What a session holds (POST only)
Answers {"success": true, "reservations": [{"slot_id", "tenant_id", "staff_id", "location_id",
"start_time", "end_time", "duration_minutes", "seat", "appointment_type", "price_cents", "currency",
"reserved_until"}]}, times in UTC, by start_time. Refusals: invalid_request 400; rate_limited
429; busy 503.';
