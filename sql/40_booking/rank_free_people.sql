-- Who can do a service at a start, the one whose turn it is first:
--
--   1. fewest live appointments in the week of the start, Monday to Sunday by the clocks of the
--      slot's place; one session of a class is one, however many attend
--   2. idle longest: whose last live appointment until the start ended earliest; never is longest
--   3. by id of the person, then of the place, so that the answer is the same each time
--
-- Holds do not count, nor do cancelled appointments. Reads only, refuses nothing.
create or replace function booking.rank_free_people(
  p_tenant_id uuid,
  p_type booking.appointment_types,
  p_location_id uuid,
  p_start_time timestamptz
) returns table (slot_id uuid, staff_id uuid, location_id uuid)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_first_date date;
  v_last_date date;
begin
  -- One start is two dates where a tenant's places lie far apart.
  select min(d.date), max(d.date) into v_first_date, v_last_date
  from booking.locations l
  join booking.tenants t on t.id = l.tenant_id
  cross join lateral (
    select (p_start_time at time zone coalesce(l.timezone, t.timezone))::date as date
  ) d
  where l.tenant_id = p_tenant_id;

  return query
  select s.id, s.staff_id, s.location_id
  from booking.find_service_slots(
    p_tenant_id, p_type, p_location_id, v_first_date, v_last_date, p_start_time
  ) s
  join booking.locations l on l.tenant_id = p_tenant_id and l.id = s.location_id
  join booking.tenants t on t.id = p_tenant_id
  cross join lateral (select coalesce(l.timezone, t.timezone) as zone) z
  cross join lateral (
    select date_trunc('week', p_start_time at time zone z.zone) as monday
  ) w
  cross join lateral (
    -- Two of one person begin together only if they attend the same class.
    select count(distinct a.start_time) as appointments
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = s.staff_id and a.status <> 'cancelled'
      and a.start_time >= booking.first_instant(w.monday, z.zone)
      and a.start_time < booking.first_instant(w.monday + interval '7 days', z.zone)
  ) week
  left join lateral (
    -- They do not overlap: the last to begin is the last to end.
    select a.end_time
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = s.staff_id and a.status <> 'cancelled'
      and a.start_time < p_start_time and a.end_time <= p_start_time
    order by a.start_time desc
    limit 1
  ) before on true
  order by week.appointments, before.end_time nulls first, s.staff_id, s.location_id;
end
$$;

comment on function booking.rank_free_people(
  uuid, booking.appointment_types, uuid, timestamptz
) is
  'The open slots of a service at a start, that of the person whose turn it is first: fewest
appointments in the week, then idle longest, then by id.';
