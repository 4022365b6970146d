-- Worker: booking.get_available_slots, in the frame of booking.answer.
create or replace function api.get_available_slots(
  tenant_id uuid,
  start_date date,
  end_date date,
  staff_id uuid default null,
  duration_minutes integer default null,
  location_id uuid default null,
  appointment_type text default null,
  max_results integer default null,
  page_token text default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_available_slots', jsonb_build_object(
    'tenant_id', get_available_slots.tenant_id,
    'start_date', get_available_slots.start_date,
    'end_date', get_available_slots.end_date,
    'staff_id', get_available_slots.staff_id,
    'duration_minutes', get_available_slots.duration_minutes,
    'location_id', get_available_slots.location_id,
    'appointment_type', get_available_slots.appointment_type,
    'max_results', get_available_slots.max_results,
    'page_token', get_available_slots.page_token
  ));
end
$$;

comment on function api.get_available_slots(
  uuid, date, date, uuid, integer, uuid, text, integer, text
) is
  'List slots that can be booked now
start_date and end_date are local dates of the place, inclusive, at most 62 days. appointment_type
is a service''s code: only slots and people that fit it, with its price. By start_time, at most
max_results (1 to 1,000, default 1,000); next_page_token is there where more may follow, to be sent
as page_token with the same arguments. Days that are not published are calculated, some in a call: a
page may be short, or empty, and have a next_page_token.
Answers {"success": true, "slots": [{"id", "staff_id", "start_time", "end_time" (UTC),
"duration_minutes", "location_id", "seats_left", "price_cents", "currency"}], "next_page_token"}.
By GET, with ETag. Refusals: range_too_large, invalid_request 400; not_found 404; rate_limited
429; busy 503.';
