-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: 0022.engine_availability_slots_view

set local role booking_owner;

set local check_function_bodies = off;

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

-- Analytics, for admins: the policies and booking.live_days say whose.
grant select on
  booking.daily_attempts, booking.daily_supply, booking.daily_holds, booking.daily_bookings,
  booking.daily_appointments
to authenticated, service_role;

grant execute on function booking.analysed_tenants to authenticated, service_role;

grant execute on function booking.live_attempts to authenticated, service_role;

grant execute on function booking.attempts_by_day to authenticated, service_role;

grant execute on function booking.live_supply to authenticated, service_role;

grant execute on function booking.supply_by_day to authenticated, service_role;

grant execute on function booking.live_holds to authenticated, service_role;

grant execute on function booking.holds_by_day to authenticated, service_role;

grant execute on function booking.live_bookings to authenticated, service_role;

grant execute on function booking.bookings_by_day to authenticated, service_role;

grant execute on function booking.live_appointments to authenticated, service_role;

grant execute on function booking.appointments_by_day to authenticated, service_role;

grant select on
  api.popular_slots, api.booking_funnel, api.hold_refusals, api.peak_demand, api.staff_utilisation,
  api.cancellations, api.lead_times
to authenticated, service_role;

-- The functions: thin ones run as their caller, who may call the two frames that do the work as the
-- owner, and nothing behind them.
grant execute on function booking.attempt to anon, authenticated, service_role;

grant execute on function booking.answer to anon, authenticated, service_role;

grant execute on function api.reserve_slot to anon, authenticated, service_role;

grant execute on function api.reserve_time to anon, authenticated, service_role;

grant execute on function api.get_reservations to anon, authenticated, service_role;

grant execute on function api.release_slot to anon, authenticated, service_role;

grant execute on function api.reschedule_appointment to anon, authenticated, service_role;

grant execute on function api.cancel_appointment to anon, authenticated, service_role;

grant execute on function api.get_tenant to anon, authenticated, service_role;

grant execute on function api.get_available_slots to anon, authenticated, service_role;

grant execute on function api.get_available_times to anon, authenticated, service_role;

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
