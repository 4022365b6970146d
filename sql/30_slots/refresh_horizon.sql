-- Everything of these calendars: moves materialized_until to the tenant's today +
-- least(precompute_days, booking_horizon_days), refreshes every date up to it and deletes past
-- dates and those beyond. What the nightly refresh, the queue and wide changes run. Locks the
-- calendars.
create or replace function booking.refresh_horizon(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  out inserted bigint,
  out updated bigint,
  out deleted bigint
)
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
set enable_nestloop = off
set enable_mergejoin = off
set enable_hashjoin = on
as $$
declare
  v_staff_ids uuid[] := coalesce(p_staff_ids, array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id
  ));
  v_until date;
  v_latest_first_start timestamptz;
  v_earliest_end_of_starts timestamptz;
  v_outside bigint;
begin
  perform booking.lock_calendars(p_tenant_id, v_staff_ids);
  v_until := booking.materialization_end(p_tenant_id);

  update booking.calendars c
  set materialized_until = v_until
  where c.tenant_id = p_tenant_id and c.staff_id = any (v_staff_ids)
    and c.materialized_until <> v_until;

  -- Plain values let the index find the few rows outside; which they are, each location's zone
  -- says.
  select max(b.first_start), min(b.end_of_starts)
  into v_latest_first_start, v_earliest_end_of_starts
  from booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b;

  delete from booking.availability_slots s
  using booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b
  where s.tenant_id = p_tenant_id and s.staff_id = any (v_staff_ids)
    and (s.start_time < v_latest_first_start or s.start_time >= v_earliest_end_of_starts)
    and b.staff_id = s.staff_id and b.location_id = s.location_id
    and (s.start_time < b.first_start or s.start_time >= b.end_of_starts);
  get diagnostics v_outside = row_count;

  select r.inserted, r.updated, r.deleted + v_outside
  into inserted, updated, deleted
  from booking.refresh_slots(p_tenant_id, v_staff_ids, null, null) r;
end
$$;

comment on function booking.refresh_horizon(uuid, uuid[]) is
  'Refreshes all published dates of these people (null: all), moves the horizon, drops past dates,
and returns how many rows that took.';
