-- One start, on the grid or off it, as the calculator sees it: no row where nobody works, where it
-- does not fit, or where tenant, person, place or type is inactive (rules 1 and 3); is_on_grid
-- says rule 2, is_free rule 4, is_available rules 4 and 5, is_bookable rule 6 by the clock of now.
-- Reserving asks for all of them, booking what is held for rules 1, 3 and 4 (promise P3).
-- p_without_appointment_id moves and frees its own time first. Reads only, refuses nothing, does
-- not ask who holds what.
create or replace function booking.calculate_slot(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_shape_id uuid,
  p_start_time timestamptz,
  p_without_appointment_id uuid default null
) returns table (
  end_time timestamptz,
  claim tstzrange,
  capacity integer,
  booked integer,
  is_on_grid boolean,
  is_free boolean,
  is_within_limit boolean,
  is_available boolean,
  is_bookable boolean
)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_zone text;
  v_horizon_days integer;
begin
  select coalesce(l.timezone, t.timezone), t.booking_horizon_days
  into v_zone, v_horizon_days
  from booking.locations l
  join booking.tenants t on t.id = l.tenant_id
  where l.tenant_id = p_tenant_id and l.id = p_location_id;

  return query
  select s.end_time, s.claim, s.capacity, s.booked, s.is_on_grid, s.is_free, s.is_within_limit,
    s.is_available,
    coalesce(s.bookable_from <= v_now, true) and v_now < s.bookable_until
      and (p_start_time at time zone v_zone)::date
        <= (v_now at time zone v_zone)::date + v_horizon_days
  from booking.calculate_slots(
    p_tenant_id, array[p_staff_id],
    (p_start_time at time zone v_zone)::date, (p_start_time at time zone v_zone)::date,
    p_start_time, p_without_appointment_id, array[p_shape_id]
  ) s
  where s.location_id = p_location_id and s.shape_id = p_shape_id
    and s.start_time = p_start_time
  order by s.is_on_grid desc
  limit 1;
end
$$;

comment on function booking.calculate_slot(uuid, uuid, uuid, uuid, timestamptz, uuid) is
  'What the calculator says of one start: no row (rules 1 and 3), is_on_grid (2), is_free (4),
is_within_limit (the day limit of 5), is_available (4 and 5), is_bookable now (6). Design, section
4.';
