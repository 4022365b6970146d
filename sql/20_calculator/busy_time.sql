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
  select a.staff_id, a.claim, a.location_id, a.shape_id, a.start_time, a.end_time,
    coalesce(a.slot_id, a.id), true
  from people p
  join booking.appointments a
    on a.tenant_id = p_tenant_id and a.staff_id = p.staff_id and a.claim && p_period
  where a.status <> 'cancelled' and a.id is distinct from p_without_appointment_id
  union all
  select b.staff_id, tstzrange(b.start_time, b.end_time), null, null, b.start_time, b.end_time,
    null, false
  from people p
  join booking.busy_times b
    on b.tenant_id = p_tenant_id and b.staff_id = p.staff_id
    and tstzrange(b.start_time, b.end_time) && p_period;
end
$$;

comment on function booking.busy_time(uuid, uuid[], tstzrange, uuid) is
  'Claims of live appointments (without one that is about to move) and busy times of these people
that overlap a period. attendance_id is one for all attendees of a slot.';
