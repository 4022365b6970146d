-- Worker: booking.get_next_available, in the frame of booking.answer.
create or replace function api.get_next_available(
  tenant_id uuid,
  appointment_type text default null,
  duration_minutes integer default null,
  staff_id uuid default null,
  location_id uuid default null,
  from_time timestamptz default null,
  max_results integer default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_next_available', jsonb_build_object(
    'tenant_id', get_next_available.tenant_id,
    'appointment_type', get_next_available.appointment_type,
    'duration_minutes', get_next_available.duration_minutes,
    'staff_id', get_next_available.staff_id,
    'location_id', get_next_available.location_id,
    'from_time', get_next_available.from_time,
    'max_results', get_next_available.max_results
  ));
end
$$;

comment on function api.get_next_available(uuid, text, integer, uuid, uuid, timestamptz, integer) is
  'Find the first free times
Over all people, or one; from from_time (an instant) on, or from now. max_results is 1 to 100,
default 5.
Answers {"success": true, "slots", "searched_until"}, slots as get_available_slots does, by
start_time; searched_until (UTC) is there where days that are not published would have to be
calculated after it: ask again with it as from_time. Refusals: invalid_request 400; not_found 404;
rate_limited 429; busy 503.';
