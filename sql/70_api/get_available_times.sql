-- Worker: booking.get_available_times, in the frame of booking.answer.
create or replace function api.get_available_times(
  tenant_id uuid,
  start_date date,
  end_date date,
  appointment_type text,
  location_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_available_times', jsonb_build_object(
    'tenant_id', get_available_times.tenant_id,
    'start_date', get_available_times.start_date,
    'end_date', get_available_times.end_date,
    'appointment_type', get_available_times.appointment_type,
    'location_id', get_available_times.location_id
  ));
end
$$;

comment on function api.get_available_times(uuid, date, date, text, uuid) is
  'List times at which somebody is free
For those who do not mind whom they get: each start of a service (appointment_type, its code) at
each place, with the number of people who can be booked then. start_date and end_date are local
dates of the place, inclusive, at most 62 days. By start_time and location_id, all of them.
Answers {"success": true, "times": [{"start_time", "end_time" (UTC), "duration_minutes",
"location_id", "free_staff", "lowest_price_cents", "highest_price_cents", "currency"}]}.
By GET, with ETag. Refusals: range_too_large, invalid_request 400; not_found 404; rate_limited
429; busy 503.';
