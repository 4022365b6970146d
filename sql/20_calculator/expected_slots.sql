-- What availability_slots must hold for these people and local dates: the calculator's grid, from
-- the location's today to the calendar's materialized_until; the slots that a live appointment or
-- a hold names though the grid has them no more (never available, or they would be published when
-- the hold expires); and the hold columns, which say what slot_reservations says. refresh_slots
-- writes it, find_differences compares with it. Reads only, locks nothing, refuses nothing.
--
-- With p_beyond the same of the days after materialized_until that can be booked: they have no rows
-- and are calculated when somebody asks (find_open_slots), who may ask for some shapes only.
--
-- A hold bars as an appointment would: slots that its claim overlaps or from which it leaves no
-- time to travel (rule 4), and, with appointments and other holds, a day that is then full (rule
-- 5).
--
-- Expired holds that no writer has deleted yet still count: the result follows the rows alone, and
-- readers compare reserved_until with the clock.
--
-- Holds never move a grid (rule 2): where nothing but holds has changed, p_grid_stands takes the
-- slots as they are stored and asks only for their hold columns.
create or replace function booking.expected_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_grid_stands boolean default false,
  p_beyond boolean default false,
  p_shape_ids uuid[] default null
) returns table (
  staff_id uuid,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  duration_minutes integer,
  claim tstzrange,
  capacity integer,
  seats_left integer,
  is_available boolean,
  bookable_from timestamptz,
  bookable_until timestamptz,
  reserved_until timestamptz,
  reserved_by_session bytea,
  appointment_id uuid
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- As in calculate_slots: how many rows the functions yield is not to be foreseen.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_today date := (booking.now() at time zone 'UTC')::date;
  v_from date;
  v_to date;
begin
  -- Nothing is to be said outside these dates, so nothing outside them is worth calculating.
  select
    greatest(p_from, v_today - 1, case when p_beyond then min(c.materialized_until) + 1 end),
    least(p_to, case
      when p_beyond then v_today + 1 + min(t.booking_horizon_days)
      else max(c.materialized_until)
    end)
  into v_from, v_to
  from booking.calendars c
  join booking.tenants t on t.id = c.tenant_id
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids);

  return query
  with bounds as materialized (
    select * from booking.published_bounds(p_tenant_id, p_staff_ids, v_from, v_to, p_beyond)
  ),
  edges as (
    select min(b.first_start) as first_start, max(b.end_of_starts) as end_of_starts from bounds b
  ),
  grid as (
    select s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes,
      s.claim, s.capacity, s.is_available, s.bookable_from, s.bookable_until
    from booking.calculate_slots(
      p_tenant_id, p_staff_ids, v_from, v_to, null, null, p_shape_ids
    ) s
    join bounds b
      on b.staff_id = s.staff_id and b.location_id = s.location_id
      and s.start_time >= b.first_start and s.start_time < b.end_of_starts
    where not p_grid_stands
    union all
    select s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes,
      s.claim, s.capacity, s.is_available, s.bookable_from, s.bookable_until
    from booking.availability_slots s
    join bounds b
      on b.staff_id = s.staff_id and b.location_id = s.location_id
      and s.start_time >= b.first_start and s.start_time < b.end_of_starts
    where p_grid_stands and s.tenant_id = p_tenant_id and s.staff_id = any (p_staff_ids)
      and s.start_time >= (select e.first_start from edges e)
      and s.start_time < (select e.end_of_starts from edges e)
  ),
  appointed as materialized (
    select a.staff_id, a.location_id, a.shape_id, a.start_time,
      count(*)::integer as booked, (array_agg(a.id order by a.id))[1] as appointment_id
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = any (p_staff_ids)
      and a.status <> 'cancelled' and a.slot_id is not null
      and a.start_time >= (select e.first_start from edges e)
      and a.start_time < (select e.end_of_starts from edges e)
    group by a.staff_id, a.location_id, a.shape_id, a.start_time
  ),
  holds as materialized (
    select h.staff_id, h.location_id, h.shape_id, h.start_time, h.claim, h.expires_at,
      h.session_hash, h.slot_id,
      h.start_time + sh.duration_minutes * interval '1 minute' as end_time
    from booking.slot_reservations h
    join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
    where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids)
  ),
  named as (
    select a.staff_id, a.location_id, a.shape_id, a.start_time from appointed a
    union
    select h.staff_id, h.location_id, h.shape_id, h.start_time from holds h
  ),
  kept as (
    select n.staff_id, n.location_id, n.shape_id, n.start_time, sh.duration_minutes,
      n.start_time + sh.duration_minutes * interval '1 minute' as end_time,
      booking.claim_of(
        n.start_time, n.start_time + sh.duration_minutes * interval '1 minute',
        sh.buffer_before_minutes, sh.buffer_after_minutes
      ) as claim,
      coalesce(t.capacity, 1) as capacity,
      booking.bookable_from(
        n.start_time, sh.max_advance_days, b.zone, b.tenant_zone, b.booking_horizon_days
      ) as bookable_from,
      n.start_time - sh.min_notice_minutes * interval '1 minute' as bookable_until
    from named n
    join bounds b
      on b.staff_id = n.staff_id and b.location_id = n.location_id
      and n.start_time >= b.first_start and n.start_time < b.end_of_starts
    join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = n.shape_id
    left join booking.appointment_types t
      on t.tenant_id = p_tenant_id and t.id = sh.group_type_id
    where not exists (
      select from grid g
      where g.staff_id = n.staff_id and g.location_id = n.location_id
        and g.shape_id = n.shape_id and g.start_time = n.start_time
    )
  ),
  slots as (
    select g.* from grid g
    union all
    select k.staff_id, k.location_id, k.shape_id, k.start_time, k.end_time, k.duration_minutes,
      k.claim, k.capacity, false, k.bookable_from, k.bookable_until
    from kept k
  ),
  -- Rule 4: holds, as they bar each place.
  seen_holds as (
    select h.*, b.location_id as seen_from, case
      when t.location_id is null then h.claim
      else tstzrange(
        lower(h.claim) - t.minutes_to * interval '1 minute',
        upper(h.claim) + t.minutes_from * interval '1 minute'
      )
    end as barred
    from holds h
    join bounds b on b.staff_id = h.staff_id
    left join booking.travel_around(p_tenant_id) t
      on t.location_id = h.location_id and t.other_location_id = b.location_id
  ),
  held as (
    select s.staff_id, s.location_id, s.shape_id, s.start_time,
      count(*) filter (where own.is_own)::integer as seats,
      array_agg(h.expires_at order by h.expires_at) filter (where own.is_own) as own_expiries,
      max(h.expires_at) filter (where not own.is_own) as others_expire_at,
      case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
        as session_hash
    from seen_holds h
    join slots s
      on s.staff_id = h.staff_id and s.location_id = h.seen_from and s.claim && h.barred
    cross join lateral (
      select h.location_id = s.location_id and h.shape_id = s.shape_id
        and h.start_time = s.start_time as is_own
    ) as own
    group by s.staff_id, s.location_id, s.shape_id, s.start_time
  ),
  -- Rule 5: the local days that holds touch, for people with a day limit, and how many of them such
  -- a day has room for. Holds of one slot are one, until the last of them expires, and none where
  -- somebody attends it already.
  held_days as materialized (
    select h.staff_id, b.location_id, day.period, h.slot_id, max(h.expires_at) as expires_at,
      (
        select s.max_appointments_per_day - count(distinct coalesce(a.slot_id, a.id))
        from booking.appointments a
        where a.tenant_id = p_tenant_id and a.staff_id = h.staff_id and a.claim && day.period
          and tstzrange(a.start_time, a.end_time) && day.period and a.status <> 'cancelled'
      ) as room
    from holds h
    join booking.staff s
      on s.tenant_id = p_tenant_id and s.id = h.staff_id and s.max_appointments_per_day > 0
    join bounds b on b.staff_id = h.staff_id
    cross join lateral (
      select tstzrange(
        booking.first_instant(local_date::date, b.zone),
        booking.first_instant(local_date::date + 1, b.zone)
      ) as period
      from generate_series(
        (h.start_time at time zone b.zone)::date::timestamp,
        ((h.end_time - interval '1 microsecond') at time zone b.zone)::date::timestamp,
        interval '1 day'
      ) as local_date
    ) as day
    where not exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.slot_id = h.slot_id and a.status <> 'cancelled'
    )
    group by h.staff_id, b.location_id, day.period, h.slot_id, s.max_appointments_per_day
  ),
  full_until as (
    select s.staff_id, s.location_id, s.shape_id, s.start_time, max(last.expires_at) as expires_at
    from slots s
    join (
      select distinct d.staff_id, d.location_id, d.period, d.room from held_days d where d.room > 0
    ) as day
      on day.staff_id = s.staff_id and day.location_id = s.location_id
      and tstzrange(s.start_time, s.end_time) && day.period
    cross join lateral (
      select d.expires_at
      from held_days d
      where d.staff_id = s.staff_id and d.location_id = s.location_id and d.period = day.period
        and d.slot_id <> booking.slot_id(
          p_tenant_id, s.staff_id, s.location_id, s.start_time, s.shape_id
        )
      order by d.expires_at desc
      offset day.room - 1
      limit 1
    ) as last
    group by s.staff_id, s.location_id, s.shape_id, s.start_time
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes, s.claim,
    s.capacity,
    greatest(s.capacity - coalesce(a.booked, 0) - coalesce(h.seats, 0), 0),
    s.is_available, s.bookable_from, s.bookable_until,
    -- Free again once the holds of other slots are gone, or leave room on its day (a class that
    -- somebody attends has its day), and, where attendees and holds fill it, as many of its own as
    -- leave one seat.
    greatest(
      h.others_expire_at,
      case when not (sh.is_group and coalesce(a.booked, 0) > 0) then f.expires_at end,
      case
        when coalesce(a.booked, 0) + h.seats >= s.capacity
        then h.own_expiries[least(h.seats, h.seats + coalesce(a.booked, 0) - s.capacity + 1)]
      end
    ),
    h.session_hash,
    case when not sh.is_group then a.appointment_id end
  from slots s
  join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = s.shape_id
  left join appointed a
    on a.staff_id = s.staff_id and a.location_id = s.location_id
    and a.shape_id = s.shape_id and a.start_time = s.start_time
  left join held h
    on h.staff_id = s.staff_id and h.location_id = s.location_id
    and h.shape_id = s.shape_id and h.start_time = s.start_time
  left join full_until f
    on f.staff_id = s.staff_id and f.location_id = s.location_id
    and f.shape_id = s.shape_id and f.start_time = s.start_time;
end
$$;

comment on function booking.expected_slots(
  uuid, uuid[], date, date, boolean, boolean, uuid[]
) is
  'What availability_slots must hold for these people and local dates (null: no bound), hold columns
included; nothing before a location''s today or after a calendar''s materialized_until. p_beyond:
the same of the days after that, which have no rows, up to the location''s today +
booking_horizon_days.';
