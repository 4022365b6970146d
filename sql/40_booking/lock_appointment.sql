-- An appointment that its caller is about to change: who may, and its row locked. The row comes
-- before the calendar, as it does for a raw UPDATE, which has its row before any trigger can run.
-- Refuses with not_authenticated (nobody in particular, and no token), not_found (none that the
-- caller may know of: missing and foreign look alike) and forbidden (a colleague's).
create or replace function booking.lock_appointment(
  p_appointment booking.appointments,
  p_request jsonb
) returns booking.appointments
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_appointment booking.appointments;
begin
  if p_request ->> 'manage_token' is null and booking.caller_id() is null
    and booking.caller_role() is distinct from 'service_role'
  then
    perform booking.refuse(
      'not_authenticated', 'Nobody is signed in, and there is no manage_token.', null,
      'Sign in, or send the manage_token that came with the booking.'
    );
  end if;

  select a.* into v_appointment
  from booking.appointments a
  where a.tenant_id = p_appointment.tenant_id and a.id = p_appointment.id
  for no key update;

  if not found then
    perform booking.refuse('not_found', 'There is no such appointment.');
  end if;

  if not (
    booking.caller_may_write(v_appointment.tenant_id, v_appointment.staff_id)
    or coalesce(v_appointment.customer_id = booking.caller_id(), false)
    or coalesce(
      v_appointment.manage_token_hash = sha256(convert_to(p_request ->> 'manage_token', 'UTF8')),
      false
    )
  ) then
    perform booking.refuse('forbidden', 'This appointment is in a colleague''s calendar.');
  end if;
  return v_appointment;
end
$$;

comment on function booking.lock_appointment(booking.appointments, jsonb) is
  'Locks the appointment''s row for a caller who may change it and returns it as it is now.';

-- What binds customers and not staff: an appointment that is over or cancelled stays as it is, and
-- one that is near can no longer be changed (cancellation_notice_minutes of the tenant, at least
-- until its start). Asked after the locks.
create or replace function booking.require_changeable(p_appointment booking.appointments)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_notice_minutes integer;
begin
  if p_appointment.status not in ('pending', 'confirmed') then
    perform booking.refuse(
      'invalid_status',
      format('The appointment is %s.', replace(p_appointment.status, '_', '-')),
      'Only pending and confirmed appointments can be moved or cancelled.'
    );
  end if;

  select t.cancellation_notice_minutes into v_notice_minutes
  from booking.tenants t
  where t.id = p_appointment.tenant_id;

  if booking.now() > p_appointment.start_time - v_notice_minutes * interval '1 minute'
    and not booking.caller_may_write(p_appointment.tenant_id, p_appointment.staff_id)
  then
    perform booking.refuse(
      'too_late',
      format(
        'The appointment begins at %s and can be changed until %s minutes before.',
        booking.iso_time(p_appointment.start_time), v_notice_minutes
      ),
      null, 'Call the business.'
    );
  end if;
end
$$;

comment on function booking.require_changeable(booking.appointments) is
  'Refuses (invalid_status, too_late) where this appointment can no longer be moved or cancelled.';
