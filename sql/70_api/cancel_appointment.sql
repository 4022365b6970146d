-- Worker: booking.cancel_appointment, in the frame of booking.attempt.
create or replace function api.cancel_appointment(
  appointment_id uuid,
  reason text default null,
  manage_token text default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('cancel_appointment', jsonb_build_object(
    'appointment_id', cancel_appointment.appointment_id,
    'reason', cancel_appointment.reason,
    'manage_token', cancel_appointment.manage_token,
    'tenant_id', cancel_appointment.tenant_id
  ));
end
$$;

comment on function api.cancel_appointment(uuid, text, text, uuid) is
  'Cancel an appointment
For its customer and whoever has its manage_token, until the tenant''s notice before its start, and
for the tenant''s staff. The reason (at most 1,000 characters) is kept.
Answers {"success": true, "appointment_id", "status": "cancelled", "message"}. Refusals: too_late,
invalid_status 409; not_found 404; invalid_request 400; not_authenticated 401; forbidden 403;
rate_limited 429; busy 503.';
