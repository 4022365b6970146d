-- What takes people's time: the claims of live appointments and the busy times that touch a period.
-- Holds are not among them: they expire by the clock, which is not the calculator's business.
-- Reads only; refuses nothing.
--
-- Here and in the functions that use it the plan is made once, perhaps while tables are empty, and
-- must hold when they are not: no sequential scans, and no JIT, which a plan's cost would start.
create or replace function booking.busy_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_period tstzrange,
  p_without_appointment_id uuid default null
) returns table (
  staff_id uuid,
  period tstzrange,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  attendance_id uuid,
  is_appointment boolean
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  return query
  with people as (
    select unnest(p_staff_ids) as staff_id
  )
  -- One person after the other, whatever the planner expects: it cannot know that few appointments
  -- end later than the day that is asked for.
  select p.staff_id, a.claim, a.location_id, a.shape_id, a.start_time, a.end_time,
    coalesce(a.slot_id, a.id), true
  from people p
  cross join lateral (
    select a.id, a.claim, a.location_id, a.shape_id, a.start_time, a.end_time, a.slot_id
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = p.staff_id and a.status <> 'cancelled'
      and a.claim && p_period and upper(a.claim) > lower(p_period)
      and a.id is distinct from p_without_appointment_id
    offset 0
  ) as a
  union all
  select p.staff_id, tstzrange(b.start_time, b.end_time), null, null, b.start_time, b.end_time,
    null, false
  from people p
  cross join lateral (
    select b.start_time, b.end_time
    from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.staff_id = p.staff_id
      and tstzrange(b.start_time, b.end_time) && p_period and b.end_time > lower(p_period)
    offset 0
  ) as b;
end
$$;

comment on function booking.busy_time(uuid, uuid[], tstzrange, uuid) is
  'Claims of live appointments (without one that is about to move) and busy times of these people
that overlap a period. attendance_id is one for all attendees of a slot.';
