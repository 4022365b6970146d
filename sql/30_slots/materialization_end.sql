-- The last local date that has rows: the tenant's today + least(precompute_days, horizon). Reads
-- only.
create or replace function booking.materialization_end(p_tenant_id uuid) returns date
language sql stable parallel safe
set search_path = ''
as $$
  select (booking.now() at time zone t.timezone)::date
    + least(t.precompute_days, t.booking_horizon_days)
  from booking.tenants t
  where t.id = p_tenant_id
$$;

comment on function booking.materialization_end(uuid) is
  'The date up to which a refresh of today fills availability_slots.';
