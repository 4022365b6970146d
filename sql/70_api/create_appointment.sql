-- Worker: booking.create_appointment, in the frame of booking.attempt.
create or replace function api.create_appointment(
  slot_id uuid,
  user_data jsonb,
  appointment_type text,
  session_id text default null,
  notes text default null,
  idempotency_key text default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('create_appointment', jsonb_build_object(
    'slot_id', create_appointment.slot_id,
    'user_data', create_appointment.user_data,
    'appointment_type', create_appointment.appointment_type,
    'session_id', create_appointment.session_id,
    'notes', create_appointment.notes,
    'idempotency_key', create_appointment.idempotency_key,
    'tenant_id', create_appointment.tenant_id
  ));
end
$$;

comment on function api.create_appointment(uuid, jsonb, text, text, text, text, uuid) is
  'Book a slot that you hold
For signed-in customers, and for the service on behalf of guests. user_data is an object with name,
and email or phone; locale, timezone and further keys are kept; at most 8 kB. Without session_id
the hold must be the signed-in caller''s own. idempotency_key (at most 255 characters): the same
request again gets the same appointment, with a new manage_token in place of the old.
Answers {"success": true, "appointment_id", "status", "start_time", "end_time" (UTC),
"price_cents", "currency", "manage_token", "payment_required", "payment_due_at", "payment_url"}.
manage_token is shown once; its bearer can move and cancel. Refusals: reservation_expired,
appointment_conflict, customer_limit_reached, idempotency_conflict 409; slot_not_found 404;
invalid_request 400; not_authenticated 401; rate_limited 429; busy 503.';
