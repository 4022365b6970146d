-- Published slots that can be booked now, of active people at active places, by start and id: the
-- predicate of the public view (60_policies/availability_slots.sql, 70_api/availability_slots.sql),
-- for functions that run as the owner. They begin from p_from until before p_until. Null arguments
-- do not filter; that one person who is asked for is active, the caller knows. p_first_date to
-- p_last_date are local dates of each slot's place (null: no bound); p_after_start and p_after_id
-- are the last slot of the page before.
--
-- One scan of an index in the order of starts, which stops after p_limit: that of the tenant, or
-- where one person is asked for that of the person. One statement for each, planned once a session,
-- because planning takes longer than most answers: so its conditions are written to be cheap with
-- any arguments. "in (…) is true" is asked of a hash table that is made at the first row, where a
-- join could be put in the wrong order, and would sort what comes in order already.
--
-- Reads only, refuses nothing.
create or replace function booking.find_published_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_id uuid,
  p_shape_ids uuid[],
  p_first_date date,
  p_last_date date,
  p_after_start timestamptz,
  p_after_id uuid,
  p_from timestamptz,
  p_until timestamptz,
  p_limit integer
) returns table (
  id uuid,
  staff_id uuid,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  duration_minutes integer,
  seats_left integer
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
-- Few rows are expected of the joins, many come: without this the planner sorts them all.
set enable_sort = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
begin
  if cardinality(p_staff_ids) = 1 then
    return query
    select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
      s.duration_minutes, greatest(s.seats_left, 1)
    from booking.availability_slots s
    join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
    join booking.tenants t on t.id = s.tenant_id
    where s.tenant_id = p_tenant_id
      and s.staff_id = p_staff_ids[1]
      and (p_location_id is null or s.location_id = p_location_id)
      and (p_shape_ids is null or s.shape_id = any (p_shape_ids))
      -- For the index; each place's own dates are asked of the rows that it finds.
      and s.start_time >= p_from and s.start_time < p_until
      and (p_after_id is null or (s.start_time, s.id) > (p_after_start, p_after_id))
      and s.is_available
      and s.bookable_until > v_now
      and (s.bookable_from is null or s.bookable_from <= v_now)
      and (s.reserved_until is null or s.reserved_until <= v_now)
      and t.is_active and l.is_active
      and (
        p_first_date is null
        or (s.start_time at time zone coalesce(l.timezone, t.timezone))::date
          between p_first_date and p_last_date
      )
    order by s.start_time, s.id
    limit p_limit;
  else
    return query
    select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
      s.duration_minutes, greatest(s.seats_left, 1)
    from booking.availability_slots s
    join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
    join booking.tenants t on t.id = s.tenant_id
    where s.tenant_id = p_tenant_id
      and (
        s.staff_id in (
          select p.id
          from booking.staff p
          where p.tenant_id = p_tenant_id and p.is_active
            and (p_staff_ids is null or p.id in (select unnest(p_staff_ids)))
        )
      ) is true
      and (p_location_id is null or s.location_id = p_location_id)
      and (p_shape_ids is null or s.shape_id = any (p_shape_ids))
      and s.start_time >= p_from and s.start_time < p_until
      and (p_after_id is null or (s.start_time, s.id) > (p_after_start, p_after_id))
      and s.is_available
      and s.bookable_until > v_now
      and (s.bookable_from is null or s.bookable_from <= v_now)
      and (s.reserved_until is null or s.reserved_until <= v_now)
      and t.is_active and l.is_active
      and (
        p_first_date is null
        or (s.start_time at time zone coalesce(l.timezone, t.timezone))::date
          between p_first_date and p_last_date
      )
    order by s.start_time, s.id
    limit p_limit;
  end if;
end
$$;

comment on function booking.find_published_slots(
  uuid, uuid[], uuid, uuid[], date, date, timestamptz, uuid, timestamptz, timestamptz, integer
) is
  'Up to p_limit published slots of a tenant that can be booked now, by start_time and id.';
