-- Worker: booking.reserve_time, in the frame of booking.attempt.
create or replace function api.reserve_time(
  tenant_id uuid,
  start_time timestamptz,
  appointment_type text,
  session_id text,
  location_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reserve_time', jsonb_build_object(
    'tenant_id', reserve_time.tenant_id,
    'start_time', reserve_time.start_time,
    'appointment_type', reserve_time.appointment_type,
    'session_id', reserve_time.session_id,
    'location_id', reserve_time.location_id
  ));
end
$$;

comment on function api.reserve_time(uuid, timestamptz, text, text, uuid) is
  'Hold a time with whoever is free
A start of get_available_times, for the service of that code. Of those who are free it is the person
with the fewest appointments in that week, then who has been idle longest, then by id. session_id is
a secret of your own making, as in reserve_slot, and calls of both are counted together.
Answers as reserve_slot does, with "staff_id", "location_id", "start_time" and "end_time" (UTC).
Asked again by the same session, the answer is the same, and so is its end. Refusals: slot_taken,
hold_limit_reached, appointment_conflict 409; not_found 404; invalid_request 400; rate_limited 429;
busy 503.';
