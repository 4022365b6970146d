-- Worker: booking.reschedule_appointment, in the frame of booking.attempt.
create or replace function api.reschedule_appointment(
  appointment_id uuid,
  slot_id uuid,
  session_id text default null,
  manage_token text default null,
  staff_id uuid default null,
  location_id uuid default null,
  start_time timestamptz default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reschedule_appointment', jsonb_build_object(
    'appointment_id', reschedule_appointment.appointment_id,
    'slot_id', reschedule_appointment.slot_id,
    'session_id', reschedule_appointment.session_id,
    'manage_token', reschedule_appointment.manage_token,
    'staff_id', reschedule_appointment.staff_id,
    'location_id', reschedule_appointment.location_id,
    'start_time', reschedule_appointment.start_time,
    'tenant_id', reschedule_appointment.tenant_id
  ));
end
$$;

comment on function api.reschedule_appointment(
  uuid, uuid, text, text, uuid, uuid, timestamptz, uuid
) is
  'Move an appointment to another slot
For its customer, whoever has its manage_token, and the tenant''s staff. The new slot may be held
by session_id, or just be free; the appointment''s own time does not stand in its way. A slot
beyond the days that availability_slots shows needs staff_id, location_id and start_time.
Answers {"success": true, "appointment_id", "slot_id", "staff_id", "location_id", "start_time",
"end_time" (UTC), "seat", "message"}; refused, the appointment stays where it is. Refusals:
slot_taken, appointment_conflict, too_late, invalid_status 409; not_found, slot_not_found 404;
invalid_request 400; not_authenticated 401; forbidden 403; rate_limited 429; busy 503.';
