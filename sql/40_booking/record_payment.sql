-- What the payment provider says, told by the service. Paid confirms what was pending. The same
-- status with the same reference again changes nothing and gets the same answer; a late "failed"
-- of one attempt does not undo another one's "paid". Once the appointment is cancelled (unpaid in
-- time, or by anyone) a payment is too_late: pay it back, and record "refunded" if it had been
-- paid.
--
-- Locks the appointment's row; the slots do not change. Refuses: invalid_request,
-- not_authenticated, forbidden, not_found, invalid_status, too_late.
create or replace function booking.record_payment(
  p_appointment booking.appointments,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_status text := p_request ->> 'payment_status';
  v_reference text := p_request ->> 'payment_reference';
  v_appointment booking.appointments;
begin
  if booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('forbidden', 'Payments are recorded by the service.');
  end if;
  if coalesce(v_status, '') not in ('paid', 'failed', 'refunded') then
    perform booking.refuse('invalid_request', format(
      'payment_status is "%s"; expected paid, failed or refunded.', left(v_status, 100)
    ));
  end if;
  perform booking.require_length('payment_reference', v_reference, 1, 255);

  v_appointment := booking.lock_appointment(p_appointment, p_request);

  -- The events know what was recorded before something else came after it.
  if (v_appointment.payment_status, v_appointment.payment_reference)
    is distinct from (v_status, v_reference)
    and not exists (
      select from booking.events e
      where e.tenant_id = v_appointment.tenant_id and e.appointment_id = v_appointment.id
        and e.kind = 'payment' and e.payload ->> 'payment_status' = v_status
        and e.payload ->> 'payment_reference' = v_reference
    )
  then
    if v_appointment.payment_status = 'not_required'
      or (v_status = 'refunded') <> (v_appointment.payment_status = 'paid')
      or v_appointment.payment_status = 'refunded'
    then
      perform booking.refuse(
        'invalid_status',
        format(
          'The payment is %s and cannot become %s.',
          replace(v_appointment.payment_status, '_', ' '), v_status
        )
      );
    end if;
    if v_appointment.status = 'cancelled' and v_status = 'paid' then
      perform booking.refuse(
        'too_late', 'The appointment is cancelled.', null, 'Pay the money back.'
      );
    end if;

    update booking.appointments a
    set payment_status = v_status,
      payment_reference = v_reference,
      payment_due_at = case when v_status = 'failed' then a.payment_due_at end,
      status = case when v_status = 'paid' and a.status = 'pending' then 'confirmed'
        else a.status end
    where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id
    returning a.* into v_appointment;
  end if;

  return jsonb_build_object(
    'appointment_id', v_appointment.id,
    'status', v_appointment.status,
    'payment_status', v_appointment.payment_status
  );
end
$$;

comment on function booking.record_payment(booking.appointments, jsonb) is
  'Worker of api.record_payment: records a payment, idempotent by reference, or refuses.';
