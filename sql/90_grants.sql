-- The whole access matrix. First everything is taken back, so that running this again leaves
-- exactly what stands here. Views run as their invoker: callers need the columns that a view shows
-- or joins by, and no others; what decides (is_active, bookable_*, reserved_until) is the
-- policies' business.
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

grant select (id, timezone) on booking.tenants to anon, authenticated, service_role;

grant select (id, tenant_id, name, timezone)
on booking.locations to anon, authenticated, service_role;
grant select on api.locations to anon, authenticated, service_role;

grant select (id, tenant_id, display_name)
on booking.staff to anon, authenticated, service_role;
grant select on api.staff to anon, authenticated, service_role;

grant select (
  id, tenant_id, shape_id, code, name, duration_minutes, price_cents, currency, requires_payment,
  capacity
) on booking.appointment_types to anon, authenticated, service_role;
grant select on api.appointment_types to anon, authenticated, service_role;

grant select (tenant_id, staff_id, appointment_type_id)
on booking.staff_appointment_types to anon, authenticated, service_role;
grant select on api.staff_appointment_types to anon, authenticated, service_role;
