-- Puts the engine back to what it was. Written by `make engine`.

set local role booking_owner;

set local check_function_bodies = off;

-- sql/30_slots/drain_refresh_queue.sql

-- Works off refresh_queue, one transaction a calendar, oldest first; several workers skip each
-- other's entries. The entry's row is locked before the calendar and deleted in the same
-- transaction, so that a change that comes meanwhile queues anew. A failing calendar keeps its
-- error for the next run and stops no other. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_tenant_id uuid;
  v_staff_id uuid;
  v_failed uuid[] := array[]::uuid[];
  v_error text;
begin
  loop
    select q.tenant_id, q.staff_id into v_tenant_id, v_staff_id
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id) and q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_tenant_id, array[v_staff_id]);
      delete from booking.refresh_queue q
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    exception when others then
      get stacked diagnostics v_error = message_text;
      v_failed := v_failed || v_staff_id;
      update booking.refresh_queue q
      set attempts = q.attempts + 1, last_error = v_error
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/nightly_refresh.sql

-- The nightly rebuild: each calendar's whole horizon, in a transaction of its own. A night on
-- which nothing changed writes the new last day and deletes the past one. A calendar that fails is
-- queued with its error, and the next one follows. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.nightly_refresh(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_calendar record;
  v_error text;
begin
  for v_calendar in
    select c.tenant_id, c.staff_id
    from booking.calendars c
    where p_tenant_id is null or c.tenant_id = p_tenant_id
    order by c.tenant_id, c.staff_id
  loop
    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
    exception when others then
      get stacked diagnostics v_error = message_text;
      insert into booking.refresh_queue as q (tenant_id, staff_id, reason, attempts, last_error)
      select c.tenant_id, c.staff_id, 'nightly refresh failed', 1, v_error
      from booking.calendars c
      where c.tenant_id = v_calendar.tenant_id and c.staff_id = v_calendar.staff_id
      on conflict (tenant_id, staff_id)
      do update set attempts = q.attempts + 1, last_error = excluded.last_error;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/refresh_or_queue.sql

create or replace function booking.refresh_or_queue(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_reason text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_calendars_at_once constant integer := 20;
begin
  if cardinality(p_staff_ids) <= c_most_calendars_at_once then
    perform booking.refresh_horizon(p_tenant_id, p_staff_ids);
    return;
  end if;

  -- Not "do nothing": whoever is working an entry off holds its row, so this waits and queues anew.
  insert into booking.refresh_queue as q (tenant_id, staff_id, reason, queued_at)
  select p_tenant_id, s.id, p_reason, booking.now()
  from unnest(p_staff_ids) as s(id)
  order by s.id
  on conflict (tenant_id, staff_id)
  do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0;
end
$$;

comment on function booking.refresh_or_queue(uuid, uuid[], text) is
  'Refreshes up to 20 calendars now, or puts more of them into refresh_queue with the reason.';

-- sql/40_booking/release_unpaid_appointments.sql

-- Cancels appointments that were to be paid by payment_due_at and were not, and returns how many.
-- Their time is free again in the same transaction. Rows and calendars that someone else is writing
-- are skipped and left to the next call, so that no tenant waits for another's. One call does few.
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
begin
  perform set_config('booking.is_audited', 'on', true);
  for v_appointment in
    select a.tenant_id, a.id, a.staff_id, a.slot_id
    from booking.appointments a
    join booking.calendars c on c.tenant_id = a.tenant_id and c.staff_id = a.staff_id
    where a.status = 'pending' and a.payment_due_at <= v_now and a.payment_status <> 'paid'
    order by a.tenant_id, a.staff_id, a.id
    limit p_most_appointments
    for no key update of a, c skip locked
  loop
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
  end loop;
  perform set_config('booking.is_audited', '', true);
  return v_released;
end
$$;

comment on function booking.release_unpaid_appointments(integer) is
  'Cancels up to p_most_appointments pending appointments whose payment_due_at has passed; returns
how many.';

drop procedure booking.run_job;

drop function booking.delete_old_records;

drop function booking.work_off_queued;

drop function booking.refresh_queued_calendar;

drop function booking.queue_failed;

drop function booking.refresh_due_calendar;

-- sql/90_grants.sql

-- The whole access matrix. First everything is taken back, so that running this again leaves
-- exactly what stands here. Views run as their invoker: callers need the columns that a view shows
-- or joins by, and no others; what decides (bookable_*, reserved_until) is the policies'
-- business.
revoke all on all tables in schema booking from anon, authenticated, service_role;

revoke all on all tables in schema api from anon, authenticated, service_role;

revoke all on all functions in schema booking from anon, authenticated, service_role;

revoke all on all functions in schema api from anon, authenticated, service_role;

revoke all on schema booking from anon, authenticated, service_role;

revoke all on schema api from anon, authenticated, service_role;

grant usage on schema api to anon, authenticated, service_role;

grant usage on schema booking to anon, authenticated, service_role;

-- Asked by the policies.
grant execute on function booking.now() to anon, authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, shape_id, start_time, end_time, duration_minutes,
  seats_left, is_available
) on booking.availability_slots to anon, authenticated, service_role;

grant select on api.availability_slots to anon, authenticated, service_role;

grant select (id, timezone, is_active) on booking.tenants to anon, authenticated, service_role;

grant select (id, tenant_id, name, timezone, is_active)
on booking.locations to anon, authenticated, service_role;

grant select on api.locations to anon, authenticated, service_role;

grant select (id, tenant_id, display_name, is_active)
on booking.staff to anon, authenticated, service_role;

grant select on api.staff to anon, authenticated, service_role;

grant select (
  id, tenant_id, shape_id, code, name, duration_minutes, price_cents, currency, requires_payment,
  capacity, is_active
) on booking.appointment_types to anon, authenticated, service_role;

grant select on api.appointment_types to anon, authenticated, service_role;

grant select (tenant_id, staff_id, appointment_type_id)
on booking.staff_appointment_types to anon, authenticated, service_role;

grant select on api.staff_appointment_types to anon, authenticated, service_role;

-- Appointments: what the policies let members write. The functions are what constraints, generated
-- columns, triggers and policies ask in the writer's name.
grant select (
  id, tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, seat, start_time,
  end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
  price_cents, currency, payment_status, payment_due_at, cancelled_at, cancel_reason, source,
  created_at, updated_at
) on booking.appointments to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, start_time, end_time,
  buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes, price_cents,
  currency
) on booking.appointments to authenticated, service_role;

grant update (
  staff_id, location_id, appointment_type_id, start_time, end_time, buffer_before_minutes,
  buffer_after_minutes, status, customer, notes, price_cents, currency, cancel_reason
) on booking.appointments to authenticated, service_role;

grant select, insert, update on api.appointments to authenticated, service_role;

grant execute on function booking.caller_claims to authenticated, service_role;

grant execute on function booking.caller_id to authenticated, service_role;

grant execute on function booking.caller_may_write to authenticated, service_role;

grant execute on function booking.caller_memberships to authenticated, service_role;

grant execute on function booking.member_tenant_ids to authenticated, service_role;

grant execute on function booking.member_staff_ids to authenticated, service_role;

grant execute on function booking.iso_time to authenticated, service_role;

grant execute on function booking.slot_id to authenticated, service_role;

grant execute on function booking.is_slot_id to authenticated, service_role;

grant execute on function booking.claim_of to authenticated, service_role;

grant execute on function booking.whole_minutes to authenticated, service_role;

-- Schedules: what the policies let members write.
grant select (
  id, tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until,
  created_at, updated_at
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant update (
  staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant delete on booking.working_hours, booking.breaks to authenticated, service_role;

grant select, insert, update, delete
on api.working_hours, api.breaks to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note,
  created_at, updated_at
) on booking.schedule_exceptions to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant update (
  staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant delete on booking.schedule_exceptions to authenticated, service_role;

grant select, insert, update, delete
on api.schedule_exceptions to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, start_time, end_time, source, external_id, created_at, updated_at
) on booking.busy_times to authenticated, service_role;

grant insert (
  tenant_id, staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant update (
  staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant delete on booking.busy_times to authenticated, service_role;

grant select, insert, update, delete on api.busy_times to authenticated, service_role;

grant execute on function booking.is_whole_minute to authenticated, service_role;

-- The functions: thin ones run as their caller, who may call the two frames that do the work as the
-- owner, and nothing behind them.
grant execute on function booking.attempt to anon, authenticated, service_role;

grant execute on function booking.answer to anon, authenticated, service_role;

grant execute on function api.reserve_slot to anon, authenticated, service_role;

grant execute on function api.get_reservations to anon, authenticated, service_role;

grant execute on function api.release_slot to anon, authenticated, service_role;

grant execute on function api.reschedule_appointment to anon, authenticated, service_role;

grant execute on function api.cancel_appointment to anon, authenticated, service_role;

grant execute on function api.get_tenant to anon, authenticated, service_role;

grant execute on function api.get_available_slots to anon, authenticated, service_role;

grant execute on function api.get_next_available to anon, authenticated, service_role;

grant execute on function api.create_appointment to authenticated, service_role;

grant execute on function api.set_working_hours to authenticated, service_role;

grant execute on function api.explain_availability to authenticated, service_role;

grant execute on function api.record_payment to service_role;

grant execute on function api.recalculate_availability to service_role;

-- What PostgREST runs first, as the caller.
grant execute on function booking.cache_control to anon, authenticated, service_role;

grant execute on function api.pre_request to anon, authenticated, service_role;

-- Supabase makes tokens as a role of its own.
do $$
begin
  if to_regrole('supabase_auth_admin') is not null then
    grant usage on schema booking to supabase_auth_admin;
    grant execute on function booking.custom_access_token_hook to supabase_auth_admin;
  end if;
end
$$;
