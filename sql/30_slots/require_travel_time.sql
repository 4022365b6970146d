-- No person is in two places at a time, nor on the way between them: what no constraint can say of
-- raw writes. Raises 23P01, as an overlap does, if one of these live appointments leaves less than
-- the travel time between its claim and that of another live appointment of the same person
-- elsewhere. Runs under the calendars' locks, which all have who could write the other one. Reads
-- only.
create or replace function booking.require_travel_time(
  p_tenant_id uuid,
  p_appointment_ids uuid[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- One look into the index of claims for each appointment: to join by person would compare each with
-- each.
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id);
  v_conflict record;
begin
  if v_reach = interval '0' then
    return;
  end if;

  select a.start_time, l.name as place, o.name as other_place,
    t.minutes_from, t.minutes_to, b.id as other_id
  into v_conflict
  from booking.appointments a
  cross join lateral (
    select b.id, b.location_id, b.claim
    from booking.appointments b
    where b.tenant_id = p_tenant_id and b.staff_id = a.staff_id
      and b.claim && booking.widened(a.claim, v_reach)
      and upper(b.claim) > lower(a.claim) - v_reach and b.status <> 'cancelled'
    -- Found by claim and nothing else, whatever the planner expects of places.
    offset 0
  ) as b
  join booking.travel_around(p_tenant_id) t
    on t.location_id = b.location_id and t.other_location_id = a.location_id
  join booking.locations l on l.tenant_id = p_tenant_id and l.id = a.location_id
  join booking.locations o on o.tenant_id = p_tenant_id and o.id = b.location_id
  where a.tenant_id = p_tenant_id and a.id = any (p_appointment_ids)
    and a.status <> 'cancelled' and b.location_id <> a.location_id
    and a.claim && tstzrange(
      lower(b.claim) - t.minutes_to * interval '1 minute',
      upper(b.claim) + t.minutes_from * interval '1 minute'
    )
  order by a.start_time
  limit 1;
  if not found then
    return;
  end if;

  raise exception using
    errcode = 'exclusion_violation',
    message = format(
      'start_time %s at %s leaves no time to travel to or from another appointment of this person',
      booking.iso_time(v_conflict.start_time), v_conflict.place
    ),
    detail = format(
      'Appointment %s is at %s: %s minutes from there, %s minutes to it.',
      v_conflict.other_id, v_conflict.other_place, v_conflict.minutes_from, v_conflict.minutes_to
    ),
    hint = 'Travel times stand in booking.travel_times.';
end
$$;

comment on function booking.require_travel_time(uuid, uuid[]) is
  'Raises exclusion_violation (23P01) where one of these live appointments is too near to one at
another location (rule 4; design, section 5).';
