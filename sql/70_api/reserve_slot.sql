-- Worker: booking.reserve_slot, in the frame of booking.attempt. Bodies of functions in "api" name
-- their parameters in full, because these are the JSON keys.
create or replace function api.reserve_slot(
  slot_id uuid,
  session_id text,
  appointment_type text default null,
  tenant_id uuid default null,
  staff_id uuid default null,
  location_id uuid default null,
  start_time timestamptz default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reserve_slot', jsonb_build_object(
    'slot_id', reserve_slot.slot_id,
    'session_id', reserve_slot.session_id,
    'appointment_type', reserve_slot.appointment_type,
    'tenant_id', reserve_slot.tenant_id,
    'staff_id', reserve_slot.staff_id,
    'location_id', reserve_slot.location_id,
    'start_time', reserve_slot.start_time
  ));
end
$$;

comment on function api.reserve_slot(uuid, text, text, uuid, uuid, uuid, timestamptz) is
  'Hold a slot for ten minutes
session_id is a secret of your own making, 16 to 128 characters, the same for all calls of a visit.
appointment_type is a service''s code; with it the answer quotes the price. A slot beyond the days
that availability_slots shows needs tenant_id, staff_id, location_id and start_time, as listed.
Answers {"success": true, "slot_id", "reserved_until" (UTC), "seat", "price_cents", "currency",
"message"}. Asked again by the same session, the answer is the same, and so is its end. Holds of the
session that overlap are replaced. Refusals: slot_taken, hold_limit_reached, appointment_conflict
409; slot_not_found 404; invalid_request 400; rate_limited 429; busy 503.';
