-- Slots that can be booked now, of active people at active places, by start and id: the published
-- ones, and of the days after materialized_until, which have no rows, what the calculator says of
-- them at this moment. Null arguments do not filter. p_first_date to p_last_date are local dates of
-- each slot's place (null: no bound); p_after_start and p_after_id are the last slot of the page
-- before.
--
-- What is published is one index scan. Days beyond are calculated in order, some at a time, until
-- p_limit slots are found or more than p_most_days have been calculated, one person's day in one
-- shape being one; then the last row has no id and says by start_time where the search ended, and
-- everything before that instant has been told. Whose days are published is not calculated, however
-- far behind others are.
--
-- Stable, so that all of it is seen in one snapshot: a calendar whose published days grow or shrink
-- meanwhile is told once. Reads only, locks nothing, refuses nothing.
create or replace function booking.find_open_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_id uuid,
  p_shape_ids uuid[],
  p_first_date date,
  p_last_date date,
  p_after_start timestamptz,
  p_after_id uuid,
  p_limit integer,
  p_most_days integer default null
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
set jit = off
as $$
declare
  c_days_at_once constant integer := 250;
  v_now timestamptz := booking.now();
  v_from timestamptz;
  v_until timestamptz;
  v_unpublished_date date;
  v_published_until timestamptz;
  v_zones text[];
  v_people integer;
  v_shapes integer;
  v_step_days integer;
  v_chunk_until timestamptz;
  v_first_date date;
  v_last_date date;
  v_staff_ids uuid[];
  v_days integer := 0;
  v_found bigint;
  v_left integer := p_limit;
begin
  -- Whose slots, and the first date on which not everybody's are published.
  select min(c.materialized_until) + 1, count(*)
  into v_unpublished_date, v_people
  from booking.calendars c
  join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id and s.is_active
  where c.tenant_id = p_tenant_id and (p_staff_ids is null or c.staff_id = any (p_staff_ids));

  if v_people = 0 then
    return;
  end if;

  select
    greatest(v_now, p_after_start, min(booking.first_instant(p_first_date, z.zone))),
    least(
      max(booking.first_instant(p_last_date + 1, z.zone)),
      max(booking.first_instant(
        (v_now at time zone z.zone)::date + z.booking_horizon_days + 1, z.zone
      ))
    ),
    min(booking.first_instant(v_unpublished_date, z.zone)),
    array_agg(z.zone)
  into v_from, v_until, v_published_until, v_zones
  from (
    select distinct coalesce(l.timezone, t.timezone) as zone, t.booking_horizon_days
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    where l.tenant_id = p_tenant_id
  ) as z;

  return query
  select *
  from booking.find_published_slots(
    p_tenant_id, p_staff_ids, p_location_id, p_shape_ids, p_first_date, p_last_date,
    p_after_start, p_after_id, v_from, least(v_published_until, v_until), v_left
  );
  get diagnostics v_found = row_count;
  v_left := v_left - v_found;

  v_from := greatest(v_from, v_published_until);
  if v_left = 0 or v_from >= v_until then
    return;
  end if;
  v_shapes := coalesce(cardinality(p_shape_ids), (
    select count(distinct y.shape_id)
    from booking.appointment_types y
    where y.tenant_id = p_tenant_id and y.is_active
  ));
  v_step_days := greatest(1, least(14, c_days_at_once / greatest(1, v_people * v_shapes)));
  while v_from < v_until and coalesce(v_left > 0, true) loop
    v_chunk_until := least(v_from + v_step_days * interval '24 hours', v_until);
    select
      greatest(p_first_date, min((v_from at time zone z.zone)::date)),
      least(
        p_last_date,
        max(((v_chunk_until - interval '1 microsecond') at time zone z.zone)::date)
      )
    into v_first_date, v_last_date
    from unnest(v_zones) as z(zone);
    v_staff_ids := array(
      select c.staff_id
      from booking.calendars c
      join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id and s.is_active
      where c.tenant_id = p_tenant_id and (p_staff_ids is null or c.staff_id = any (p_staff_ids))
        and c.materialized_until < v_last_date
    );

    -- The first of them always: each call gets somewhere.
    if v_days > 0 and v_days + cardinality(v_staff_ids) * v_shapes * v_step_days > p_most_days then
      start_time := v_from;
      return next;
      return;
    end if;
    v_days := v_days + cardinality(v_staff_ids) * v_shapes * v_step_days;

    return query
    select f.*
    from (
      select *
      from booking.find_published_slots(
        p_tenant_id, p_staff_ids, p_location_id, p_shape_ids, p_first_date, p_last_date,
        p_after_start, p_after_id, v_from, v_chunk_until, v_left
      )
      union all
      select
        booking.slot_id(p_tenant_id, e.staff_id, e.location_id, e.start_time, e.shape_id),
        e.staff_id, e.location_id, e.shape_id, e.start_time, e.end_time, e.duration_minutes,
        greatest(e.seats_left, 1)
      from booking.expected_slots(
        p_tenant_id, v_staff_ids, v_first_date, v_last_date, p_beyond => true,
        p_shape_ids => p_shape_ids
      ) e
      where e.start_time >= v_from and e.start_time < v_chunk_until
        and (p_location_id is null or e.location_id = p_location_id)
        and (p_shape_ids is null or e.shape_id = any (p_shape_ids))
        and e.is_available
        and e.bookable_until > v_now
        and (e.bookable_from is null or e.bookable_from <= v_now)
        and (e.reserved_until is null or e.reserved_until <= v_now)
    ) as f
    where p_after_id is null or (f.start_time, f.id) > (p_after_start, p_after_id)
    order by f.start_time, f.id
    limit v_left;
    get diagnostics v_found = row_count;
    v_left := v_left - v_found;
    v_from := v_chunk_until;
  end loop;
end
$$;

comment on function booking.find_open_slots(
  uuid, uuid[], uuid, uuid[], date, date, timestamptz, uuid, integer, integer
) is
  'Up to p_limit (null: all) slots of a tenant that can be booked now, by start_time and id. Where
p_most_days people''s days (in each shape) beyond the published ones have been calculated, a last
row without id says by start_time where the search ended.';
