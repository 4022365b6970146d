-- Worker: booking.record_payment, in the frame of booking.attempt.
create or replace function api.record_payment(
  appointment_id uuid,
  payment_status text,
  payment_reference text,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('record_payment', jsonb_build_object(
    'appointment_id', record_payment.appointment_id,
    'payment_status', record_payment.payment_status,
    'payment_reference', record_payment.payment_reference,
    'tenant_id', record_payment.tenant_id
  ));
end
$$;

comment on function api.record_payment(uuid, text, text, uuid) is
  'Record what the payment provider says (service only)
payment_status is paid (confirms a pending appointment), failed or refunded; payment_reference is
the provider''s, at most 255 characters. The same again changes nothing and gets the same answer.
Answers {"success": true, "appointment_id", "status", "payment_status"}. Refusals: too_late (the
appointment is cancelled: pay back), invalid_status 409; not_found 404; invalid_request 400;
forbidden 403; busy 503.';
