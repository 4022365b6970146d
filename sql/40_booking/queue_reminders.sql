-- Writes an event "reminder_due" for each live appointment that begins within its tenant's
-- reminder_minutes (0: none), once for each start: a moved appointment is reminded of again.
-- Returns how many. Waits for nobody: an appointment that someone is deleting is skipped, and the
-- events' own index keeps two runs from writing the same.
create or replace function booking.queue_reminders() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_queued integer;
begin
  insert into booking.events (tenant_id, kind, appointment_id, payload)
  select a.tenant_id, 'reminder_due', a.id, jsonb_build_object(
    'status', a.status,
    'start_time', booking.iso_time(a.start_time),
    'end_time', booking.iso_time(a.end_time),
    'staff_id', a.staff_id,
    'location_id', a.location_id,
    'appointment_type_id', a.appointment_type_id
  )
  from booking.tenants t
  join booking.appointments a
    on a.tenant_id = t.id and a.start_time > v_now
    and a.start_time <= v_now + t.reminder_minutes * interval '1 minute'
  where t.is_active and a.status in ('pending', 'confirmed')
  for key share of a skip locked
  on conflict (tenant_id, appointment_id, (payload ->> 'start_time'))
    where kind = 'reminder_due'
  do nothing;
  get diagnostics v_queued = row_count;
  return v_queued;
end
$$;

comment on function booking.queue_reminders() is
  'Writes the events "reminder_due" that are due and not yet written; returns how many.';
