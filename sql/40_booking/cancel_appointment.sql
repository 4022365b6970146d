-- Cancels: the time is free again in the same transaction, by trigger. The reason is kept. A
-- payment stays as it is; whoever pays back learns of the cancellation from the event.
--
-- Locks the appointment's row, then the calendar. Refuses: invalid_request, not_authenticated,
-- not_found, forbidden, invalid_status, too_late.
create or replace function booking.cancel_appointment(
  p_appointment booking.appointments,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_appointment booking.appointments;
begin
  perform booking.require_length('reason', p_request ->> 'reason', 0, 1000, true);
  v_appointment := booking.lock_appointment(p_appointment, p_request);
  perform booking.lock_calendars(v_appointment.tenant_id, array[v_appointment.staff_id]);
  perform booking.require_changeable(v_appointment);

  update booking.appointments a
  set status = 'cancelled', cancel_reason = p_request ->> 'reason'
  where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id;

  return jsonb_build_object(
    'appointment_id', v_appointment.id,
    'status', 'cancelled',
    'message', 'The appointment is cancelled.'
  );
end
$$;

comment on function booking.cancel_appointment(booking.appointments, jsonb) is
  'Worker of api.cancel_appointment: cancels an appointment, or refuses.';
