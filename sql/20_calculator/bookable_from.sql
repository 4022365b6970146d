-- Rule 6: from when a slot may be booked, null for always: the greatest advance before its start.
-- The horizon is counted in the location's days; where those are not the tenant's, by which
-- materialized_until is set, it is written into the slot. Inlinable on purpose, hence without a
-- pinned search_path. Reads nothing, refuses nothing.
create or replace function booking.bookable_from(
  p_start_time timestamptz,
  p_max_advance_days integer,
  p_zone text,
  p_tenant_zone text,
  p_horizon_days integer
) returns timestamptz
language sql stable parallel safe
as $$
  select greatest(
    p_start_time - p_max_advance_days * interval '24 hours',
    case when p_zone <> p_tenant_zone then booking.first_instant(
      ((p_start_time at time zone p_zone)::date - p_horizon_days)::timestamp, p_zone
    ) end
  )
$$;

comment on function booking.bookable_from(timestamptz, integer, text, text, integer) is
  'Rule 6: the first instant at which a slot may be booked; null is no bound. Design, section 4.';
