-- Cancels appointments that were to be paid by payment_due_at and were not, and returns how many.
-- Their time is free again in the same transaction. Rows and calendars that someone else is writing
-- are skipped and left to the next call, and so are those that fail, so that no tenant waits for
-- another's; an error is raised where there is nothing but errors. One call does few.
create or replace function booking.release_unpaid_appointments(
  p_most_appointments integer default 20
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_appointment record;
  v_released integer := 0;
  v_error text;
begin
  perform set_config('booking.is_audited', 'on', true);
  for v_appointment in
    select a.tenant_id, a.id, a.staff_id, a.slot_id
    from booking.appointments a
    join booking.calendars c on c.tenant_id = a.tenant_id and c.staff_id = a.staff_id
    where a.status = 'pending' and a.payment_due_at <= v_now and a.payment_status <> 'paid'
    order by a.tenant_id, a.staff_id, a.id
    for no key update of a, c skip locked
  loop
    begin
      update booking.appointments a
      set status = 'cancelled', cancel_reason = 'not paid in time'
      where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id;

      insert into booking.audit_log (
        tenant_id, action, outcome, actor_role, slot_id, appointment_id, staff_id
      )
      values (
        v_appointment.tenant_id, 'release_unpaid_appointment', 'success', session_user,
        v_appointment.slot_id, v_appointment.id, v_appointment.staff_id
      );
      v_released := v_released + 1;
    exception when others then
      get stacked diagnostics v_error = message_text;
    end;
    exit when v_released = p_most_appointments;
  end loop;
  if v_released = 0 and v_error is not null then
    raise exception using message = v_error;
  end if;
  perform set_config('booking.is_audited', '', true);
  return v_released;
end
$$;

comment on function booking.release_unpaid_appointments(integer) is
  'Cancels up to p_most_appointments pending appointments whose payment_due_at has passed; returns
how many.';
