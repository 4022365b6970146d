-- The slots of a service that can be booked now, of whoever offers it: what get_available_times
-- counts and reserve_time chooses from, and the one place where they ask for slots. p_start_time
-- leaves those of one start; at each start a person has one slot of a service at a place. With
-- p_most_days a last row without id says where the search ended (find_open_slots). By start; at
-- most p_limit. Reads only, refuses nothing.
create or replace function booking.find_service_slots(
  p_tenant_id uuid,
  p_type booking.appointment_types,
  p_location_id uuid,
  p_first_date date,
  p_last_date date,
  p_start_time timestamptz default null,
  p_most_days integer default null,
  p_limit integer default null
) returns table (
  id uuid,
  staff_id uuid,
  location_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  duration_minutes integer
)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := booking.asked_people(p_tenant_id, null, p_type.id, p_location_id);
  v_limit integer := p_limit;
begin
  if cardinality(v_staff_ids) = 0 then
    return;
  end if;
  if p_start_time is not null then
    -- Nothing of the rest of the day: those of this start come first.
    select cardinality(v_staff_ids) * count(*) into v_limit
    from booking.locations l
    where l.tenant_id = p_tenant_id;
  end if;

  return query
  select s.id, s.staff_id, s.location_id, s.start_time, s.end_time, s.duration_minutes
  from booking.find_open_slots(
    p_tenant_id, v_staff_ids, p_location_id, array[p_type.shape_id], p_first_date, p_last_date,
    p_start_time, null, v_limit, p_most_days
  ) s
  where p_start_time is null or s.start_time = p_start_time;
end
$$;

comment on function booking.find_service_slots(
  uuid, booking.appointment_types, uuid, date, date, timestamptz, integer, integer
) is
  'Slots of a service that can be booked now, over all people who offer it, on these local dates,
or at one start.';
