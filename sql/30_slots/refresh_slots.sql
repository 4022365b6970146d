-- Publishing: compares what the calculator says with what is stored and writes only the difference.
-- Locks the calendars first, in staff_id order; the comparison is a later statement, whose snapshot
-- is younger than the lock. Some people at a time, so that memory is enough for any number. Past
-- dates and dates after materialized_until are left alone.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
create or replace function booking.refresh_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_grid_stands boolean default false,
  out inserted bigint,
  out updated bigint,
  out deleted bigint
)
language plpgsql volatile parallel unsafe
set search_path = ''
-- The plan is made once, perhaps while the table is empty, and must hold when it is not: rows are
-- found by arrays of ids, which only an index can serve, and joined by hashing.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
-- Triggers that look into an index for each row set this off, and it would be inherited.
set enable_hashjoin = on
set jit = off
-- A slice of people is joined in memory.
set work_mem = '32MB'
as $$
declare
  c_people_at_once constant integer := 20;
  v_staff_ids uuid[] := coalesce(p_staff_ids, array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id
  ));
  v_now timestamptz;
  v_slice uuid[];
  v_first_start timestamptz;
  v_end_of_starts timestamptz;
  v_inserted bigint;
  v_updated bigint;
  v_deleted bigint;
begin
  perform booking.lock_calendars(p_tenant_id, v_staff_ids);
  v_now := booking.now();
  inserted := 0;
  updated := 0;
  deleted := 0;

  for v_first in 1..cardinality(v_staff_ids) by c_people_at_once loop
    v_slice := v_staff_ids[v_first:v_first + c_people_at_once - 1];

    -- As plain values, so that a calendar's rows are found by index, however many others there are.
    select min(b.first_start), max(b.end_of_starts)
    into v_first_start, v_end_of_starts
    from booking.published_bounds(p_tenant_id, v_slice, p_from, p_to) b;

    with expected as (
      select e.*, true as is_expected
      from booking.expected_slots(p_tenant_id, v_slice, p_from, p_to) e
    ),
    stored as (
      select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.capacity, s.seats_left,
        s.is_available, s.bookable_from, s.bookable_until, s.reserved_until,
        s.reserved_by_session, s.appointment_id
      from booking.availability_slots s
      where s.tenant_id = p_tenant_id and s.staff_id = any (v_slice)
        and s.start_time >= v_first_start and s.start_time < v_end_of_starts
    ),
    difference as materialized (
      select e.*, s.id as stored_id, s.staff_id as stored_staff_id,
        s.location_id as stored_location_id, s.start_time as stored_start_time
      from expected e
      full join stored s
        on s.staff_id = e.staff_id and s.location_id = e.location_id
        and s.shape_id = e.shape_id and s.start_time = e.start_time
      where e.is_expected is null
        or s.id is null
        or s.is_available <> e.is_available
        or s.seats_left <> e.seats_left
        or s.capacity <> e.capacity
        or s.bookable_until <> e.bookable_until
        or s.bookable_from is distinct from e.bookable_from
        or s.reserved_until is distinct from e.reserved_until
        or s.reserved_by_session is distinct from e.reserved_by_session
        or s.appointment_id is distinct from e.appointment_id
    ),
    gone as (
      delete from booking.availability_slots s
      where s.tenant_id = p_tenant_id
        and s.id = any (array(
          select d.stored_id
          from difference d
          left join booking.published_bounds(p_tenant_id, v_slice, p_from, p_to) b
            on b.staff_id = d.stored_staff_id and b.location_id = d.stored_location_id
          where d.is_expected is null
            -- Each place has its own dates. One that is no more has none, and no slots either.
            and (
              b.staff_id is null
              or (d.stored_start_time >= b.first_start and d.stored_start_time < b.end_of_starts)
            )
        ))
      returning 1
    ),
    changed as (
      update booking.availability_slots s
      set is_available = d.is_available,
        seats_left = d.seats_left,
        capacity = d.capacity,
        bookable_from = d.bookable_from,
        bookable_until = d.bookable_until,
        reserved_until = d.reserved_until,
        reserved_by_session = d.reserved_by_session,
        appointment_id = d.appointment_id,
        calculated_at = v_now
      from difference d
      where s.tenant_id = p_tenant_id
        and s.id = any (array(
          select c.stored_id from difference c where c.is_expected and c.stored_id is not null
        ))
        and s.id = d.stored_id
      returning 1
    ),
    new as (
      insert into booking.availability_slots (
        tenant_id, staff_id, location_id, shape_id, start_time, end_time, duration_minutes, claim,
        capacity, seats_left, is_available, bookable_from, bookable_until, reserved_until,
        reserved_by_session, appointment_id, calculated_at
      )
      select
        p_tenant_id, d.staff_id, d.location_id, d.shape_id, d.start_time, d.end_time,
        d.duration_minutes, d.claim, d.capacity, d.seats_left, d.is_available, d.bookable_from,
        d.bookable_until, d.reserved_until, d.reserved_by_session, d.appointment_id, v_now
      from difference d
      where d.stored_id is null
      order by d.staff_id, d.start_time
      returning 1
    )
    select (select count(*) from new), (select count(*) from changed), (select count(*) from gone)
    into v_inserted, v_updated, v_deleted;

    inserted := inserted + v_inserted;
    updated := updated + v_updated;
    deleted := deleted + v_deleted;
  end loop;
end
$$;

comment on function booking.refresh_slots(uuid, uuid[], date, date, boolean) is
  'Makes availability_slots of these people (null: all) equal to what the calculator says, for the
local dates p_from to p_to that are published, and returns how many rows that took.';
