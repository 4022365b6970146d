-- Rule 5: on which local days of each place, as instants, these people have live appointments, and
-- on which as many as max_appointments_per_day. Attendees of one slot count once; appointments
-- count wherever they are, and on every local day that they touch. Ask for those whom a limit or a
-- compact schedule concerns; null is nobody. Reads only; refuses nothing.
create or replace function booking.booked_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_period tstzrange,
  p_without_appointment_id uuid default null
) returns table (
  staff_id uuid,
  location_id uuid,
  booked_time tstzmultirange,
  full_time tstzmultirange
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- How many rows the functions yield is not to be foreseen.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  if p_staff_ids is null then
    return;
  end if;

  return query
  with days as (
    select b.staff_id, l.id as location_id, zone.name as zone, day::date as local_date,
      count(distinct b.attendance_id) as booked
    from booking.busy_time(p_tenant_id, p_staff_ids, p_period, p_without_appointment_id) b
    cross join booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    cross join lateral (select coalesce(l.timezone, t.timezone) as name) as zone
    cross join lateral generate_series(
      (b.start_time at time zone zone.name)::date::timestamp,
      ((b.end_time - interval '1 microsecond') at time zone zone.name)::date::timestamp,
      interval '1 day'
    ) as day
    where b.is_appointment and l.tenant_id = p_tenant_id
    group by b.staff_id, l.id, zone.name, day
  )
  select d.staff_id, d.location_id,
    range_agg(day.period),
    range_agg(day.period) filter (where d.booked >= s.max_appointments_per_day)
  from days d
  join booking.staff s on s.tenant_id = p_tenant_id and s.id = d.staff_id
  cross join lateral (
    select tstzrange(
      booking.first_instant(d.local_date, d.zone), booking.first_instant(d.local_date + 1, d.zone)
    ) as period
  ) as day
  group by d.staff_id, d.location_id;
end
$$;

comment on function booking.booked_time(uuid, uuid[], tstzrange, uuid) is
  'The local days at each place on which people have live appointments, and those on which they have
max_appointments_per_day of them (rule 5; design, section 4).';
