-- Worker: booking.explain_availability, in the frame of booking.answer.
create or replace function api.explain_availability(
  tenant_id uuid,
  staff_id uuid,
  at timestamptz,
  appointment_type text default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('explain_availability', jsonb_build_object(
    'tenant_id', explain_availability.tenant_id,
    'staff_id', explain_availability.staff_id,
    'at', explain_availability.at,
    'appointment_type', explain_availability.appointment_type
  ));
end
$$;

comment on function api.explain_availability(uuid, uuid, timestamptz, text) is
  'Why a time can or cannot be booked
For the tenant''s staff and admins. at is an instant.
Answers {"success": true, "staff_id", "staff_name", "at", "is_queued", "message", "candidates":
[{"location_id", "location_name", "timezone", "local_time", "appointment_types", "slot_id",
"is_available", "rules": [{"rule", "passed", "message", "evidence"}]}]}: for each place and kind of
slot the rules active, working_time, starts, fit, free, bookable and not_held, in that order; passed
is null where another rule leaves nothing to ask; evidence is the rows that decided. Refusals:
not_found 404; invalid_request 400; rate_limited 429; busy 503.';
