-- The calculator: the only place that knows the rules (design, section 4). Every grid slot of these
-- people whose local date of start lies from p_from to p_to, with what rules 4 and 5 say of it and
-- the instants between which rule 6 lets it be booked. It reads tables and neither the clock nor
-- holds; it writes nothing, locks nothing and refuses nothing.
--
--   rule 1  working time    working_time()
--   rule 2  starts          segments, starts
--   rule 3  fit             runs: the limit of each series of starts
--   rule 4  free            piece_busy, slots.is_free
--   rule 5  limits          booked_days, limits, inside_runs
--   rule 6  bookable        bookable_from, bookable_until
--
-- Whoever wants to know of one start, on the grid or not, names it (p_asked_start): then it is
-- among the results, with is_on_grid false where rule 2 does not offer it.
-- p_without_appointment_id is one that is about to move and frees its own time first. Both are
-- calculate_slot's business. p_shape_ids leaves slots of these shapes only: no shape's slots depend
-- on another's.
--
-- One pass over a person's busy time: each piece of working time carries what is busy around it as
-- one multirange, which each of its candidates asks.
create or replace function booking.calculate_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_asked_start timestamptz default null,
  p_without_appointment_id uuid default null,
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
  booked integer,
  is_free boolean,
  is_within_limit boolean,
  is_available boolean,
  bookable_from timestamptz,
  bookable_until timestamptz,
  is_on_grid boolean
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- The planner cannot know how many rows the functions and ranges below yield, expects few, and
-- would compare each piece with each: hash instead.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_staff_ids uuid[];
  v_alignment text;
  v_zone text;
  v_horizon_days integer;
  v_longest_before interval;
  v_longest_after interval;
  v_longest_travel interval := booking.longest_travel(p_tenant_id);
  v_busy_from timestamptz;
  v_busy_until timestamptz;
begin
  if p_to < p_from then
    return;
  end if;

  select t.slot_alignment, t.timezone, t.booking_horizon_days
  into v_alignment, v_zone, v_horizon_days
  from booking.tenants t
  where t.id = p_tenant_id and t.is_active;

  if not found then
    return;
  end if;

  v_staff_ids := array(
    select s.id
    from booking.staff s
    where s.tenant_id = p_tenant_id and s.is_active
      and (p_staff_ids is null or s.id = any (p_staff_ids))
  );

  -- How far around a piece of working time a candidate's claim can reach, and the way from it.
  select
    max(t.buffer_before_minutes) * interval '1 minute',
    max(t.duration_minutes + t.buffer_after_minutes) * interval '1 minute'
  into v_longest_before, v_longest_after
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id and t.is_active;

  if v_longest_after is null then
    return;
  end if;

  v_longest_before := v_longest_before + v_longest_travel;
  v_longest_after := v_longest_after + v_longest_travel;

  -- Generously around the dates asked for, in any zone.
  v_busy_from := (p_from - 4)::timestamp at time zone 'UTC' - v_longest_before;
  v_busy_until := (p_to + 5)::timestamp at time zone 'UTC' + v_longest_after;

  return query
  with offers as materialized (
    select distinct on (o.staff_id, sh.id)
      o.staff_id, sh.id as shape_id, sh.is_group, t.capacity, sh.duration_minutes,
      sh.duration_minutes * interval '1 minute' as duration,
      sh.buffer_before_minutes * interval '1 minute' as buffer_before,
      sh.buffer_after_minutes * interval '1 minute' as buffer_after,
      sh.step_minutes * interval '1 minute' as step,
      sh.min_notice_minutes * interval '1 minute' as notice,
      sh.max_advance_days, s.compact_schedule as is_compact
    from booking.staff_appointment_types o
    join booking.staff s on s.tenant_id = p_tenant_id and s.id = o.staff_id
    join booking.appointment_types t on t.tenant_id = p_tenant_id and t.id = o.appointment_type_id
    join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = t.shape_id
    where o.tenant_id = p_tenant_id and o.staff_id = any (v_staff_ids) and t.is_active
      and (p_shape_ids is null or sh.id = any (p_shape_ids))
  ),
  -- Where the dates asked for begin and end, by the clocks of each place.
  places as materialized (
    select
      l.id as location_id, coalesce(l.timezone, v_zone) as zone,
      booking.first_instant(p_from, coalesce(l.timezone, v_zone)) as first_start,
      booking.first_instant(p_to + 1, coalesce(l.timezone, v_zone)) as end_of_starts
    from booking.locations l
    where l.tenant_id = p_tenant_id and l.is_active
  ),
  -- A piece begun up to two dates before (one, but where a zone skips a date) may hold starts of
  -- p_from, and a slot of p_to may end in a piece of the dates after.
  pieces as materialized (
    select row_number() over () as piece, w.*, p.first_start, p.end_of_starts
    from booking.working_time(p_tenant_id, v_staff_ids, p_from - 2, p_to + 2) w
    join places p on p.location_id = w.location_id
  ),
  -- Rule 3: pieces joined where they touch are one run, and a slot fits if it ends within it.
  reached as (
    select p.*, max(p.ends_at) over (
      partition by p.staff_id, p.location_id order by p.starts_at, p.ends_at
      rows between unbounded preceding and 1 preceding
    ) as reached_before
    from pieces p
  ),
  numbered as (
    select r.*, count(*) filter (where r.reached_before is null or r.starts_at > r.reached_before)
      over (partition by r.staff_id, r.location_id order by r.starts_at, r.ends_at
        rows between unbounded preceding and current row) as run
    from reached r
  ),
  runs as materialized (
    select n.*,
      max(n.ends_at) over (partition by n.staff_id, n.location_id, n.run) as run_ends_at,
      bool_or(coalesce(n.starts_at < n.reached_before, false))
        over (partition by n.staff_id, n.location_id, n.run) as has_overlaps
    from numbered n
  ),
  candidates as materialized (
    select r.* from runs r where r.starts_at < r.end_of_starts and r.ends_at > r.first_start
  ),
  busy as materialized (
    select b.*
    from booking.busy_time(
      p_tenant_id, v_staff_ids, tstzrange(v_busy_from, v_busy_until), p_without_appointment_id
    ) b
  ),
  travel as materialized (
    select t.location_id, t.other_location_id, t.minutes_to * interval '1 minute' as way_to,
      t.minutes_from * interval '1 minute' as way_from
    from booking.travel_around(p_tenant_id) t
  ),
  -- Pieces and busy times meet by (person, day in UTC), which hashes; overlap alone would compare
  -- each with each.
  piece_days as materialized (
    select c.piece, c.staff_id, c.location_id, day
    from candidates c
    cross join generate_series(
      date_bin('1 day', c.starts_at - v_longest_before, '2000-01-01 00:00+00'),
      c.ends_at + v_longest_after,
      interval '24 hours'
    ) as day
  ),
  busy_days as materialized (
    select b.staff_id, day, b.period, b.location_id
    from busy b
    cross join generate_series(
      date_bin('1 day', greatest(lower(b.period), v_busy_from), '2000-01-01 00:00+00'),
      least(upper(b.period), v_busy_until),
      interval '24 hours'
    ) as day
  ),
  -- Seen from the piece's place: an appointment elsewhere bars the way to and from it, too.
  -- busy_elsewhere is all but appointments here, with whom a started class cannot overlap (P1).
  piece_busy as (
    select p.piece, range_agg(barred.period) as busy,
      range_agg(barred.period) filter (where b.location_id is distinct from p.location_id)
        as busy_elsewhere
    from piece_days p
    join busy_days b on b.staff_id = p.staff_id and b.day = p.day
    left join travel t
      on t.location_id = b.location_id and t.other_location_id = p.location_id
    cross join lateral (
      select case
        when t.location_id is null then b.period
        else tstzrange(lower(b.period) - t.way_to, upper(b.period) + t.way_from)
      end as period
    ) as barred
    group by p.piece
  ),
  -- Live attendees of slots: they fill a class, and keep its start on the grid.
  attended as materialized (
    select b.staff_id, b.location_id, b.shape_id, b.start_time, count(*)::integer as booked
    from busy b
    where b.shape_id is not null
    group by b.staff_id, b.location_id, b.shape_id, b.start_time
  ),
  -- Rule 2: where a series of starts begins, and what ends it.
  origins as (
    select c.piece, o.shape_id, c.starts_at as origin, c.ends_at as until, true as is_on_grid
    from candidates c
    join offers o on o.staff_id = c.staff_id
    where v_alignment = 'window'

    union all

    -- By the wall clock: anew at each local midnight, and where the zone's offset changes.
    select c.piece, o.shape_id, s.origin, s.until, true
    from candidates c
    join offers o on o.staff_id = c.staff_id
    cross join booking.clock_segments(c.starts_at, c.ends_at, c.zone, o.step) as s
    where v_alignment = 'clock'

    union all

    -- Gapless: anew wherever something ends, after the way from there. A class does not move its
    -- own grid.
    select g.piece, g.shape_id, g.origin,
      lead(g.origin, 1, g.ends_at) over (partition by g.piece, g.shape_id order by g.origin),
      true
    from (
      select c.piece, o.shape_id, c.starts_at as origin, c.ends_at
      from candidates c
      join offers o on o.staff_id = c.staff_id
      where v_alignment = 'gapless'
      union all
      select c.piece, o.shape_id, ending.origin, c.ends_at
      from busy b
      join piece_days d
        on d.staff_id = b.staff_id
        and d.day = date_bin('1 day', upper(b.period), '2000-01-01 00:00+00')
      join candidates c on c.piece = d.piece
      join offers o on o.staff_id = c.staff_id
      left join travel t
        on t.location_id = b.location_id and t.other_location_id = c.location_id
      cross join lateral (
        select upper(b.period) + coalesce(t.way_from, interval '0') + o.buffer_before as origin
      ) as ending
      where v_alignment = 'gapless'
        and upper(b.period) >= c.starts_at and upper(b.period) < c.ends_at
        and ending.origin < c.ends_at
        and not (o.is_group and b.is_appointment and b.shape_id is not distinct from o.shape_id)
    ) as g

    union all

    -- A class that has begun to fill stays, whatever becomes of its grid.
    select c.piece, o.shape_id, a.start_time, a.start_time + interval '1 microsecond', true
    from attended a
    join offers o on o.staff_id = a.staff_id and o.shape_id = a.shape_id and o.is_group
    join candidates c
      on c.staff_id = a.staff_id and c.location_id = a.location_id
      and a.start_time >= c.starts_at and a.start_time < c.ends_at

    union all

    select c.piece, o.shape_id, p_asked_start, p_asked_start + interval '1 microsecond', false
    from candidates c
    join offers o on o.staff_id = c.staff_id
    where p_asked_start >= c.starts_at and p_asked_start < c.ends_at
  ),
  -- Rule 5, where somebody has a limit or a compact schedule: on which local days of which place
  -- there are how many live appointments (attendees of a slot are one), as instants.
  booked_days as (
    select b.staff_id, p.location_id, p.zone, day::date as local_date,
      count(distinct b.attendance_id) as booked
    from busy b
    join booking.staff s
      on s.tenant_id = p_tenant_id and s.id = b.staff_id
      and (s.max_appointments_per_day is not null or s.compact_schedule)
    cross join places p
    cross join lateral generate_series(
      (b.start_time at time zone p.zone)::date::timestamp,
      ((b.end_time - interval '1 microsecond') at time zone p.zone)::date::timestamp,
      interval '1 day'
    ) as day
    where b.is_appointment
    group by b.staff_id, p.location_id, p.zone, day
  ),
  limits as materialized (
    select d.staff_id, d.location_id,
      range_agg(day.period) as booked_time,
      range_agg(day.period) filter (where d.booked >= s.max_appointments_per_day) as full_time
    from booked_days d
    join booking.staff s on s.tenant_id = p_tenant_id and s.id = d.staff_id
    cross join lateral (
      select tstzrange(
        booking.first_instant(d.local_date, d.zone), booking.first_instant(d.local_date + 1, d.zone)
      ) as period
    ) as day
    group by d.staff_id, d.location_id
  ),
  series as materialized (
    select
      c.staff_id, c.location_id, c.zone, o.shape_id, o.is_group, o.capacity, o.duration_minutes,
      o.duration, o.buffer_before, o.buffer_after, o.notice, o.max_advance_days,
      o.step, o.is_compact, l.booked_time, l.full_time,
      c.first_start, c.end_of_starts, pb.busy, pb.busy_elsewhere,
      g.origin,
      least(g.until - interval '1 microsecond', c.run_ends_at - o.duration) as last_start,
      c.has_overlaps or o.is_group as may_repeat, g.is_on_grid
    from origins g
    join candidates c on c.piece = g.piece
    join offers o on o.staff_id = c.staff_id and o.shape_id = g.shape_id
    left join piece_busy pb on pb.piece = g.piece
    left join limits l on l.staff_id = c.staff_id and l.location_id = c.location_id
  ),
  starts as not materialized (
    select s.*, start
    from series s
    cross join generate_series(s.origin, s.last_start, s.step) as start
    where not s.may_repeat
    union all
    (
      select distinct on (s.staff_id, s.location_id, s.shape_id, start) s.*, start
      from series s
      cross join generate_series(s.origin, s.last_start, s.step) as start
      where s.may_repeat
      order by s.staff_id, s.location_id, s.shape_id, start, s.is_on_grid desc
    )
  ),
  slots as not materialized (
    select s.*, s.start + s.duration as ends, coalesce(a.booked, 0) as booked,
      tstzrange(s.start - s.buffer_before, s.start + s.duration + s.buffer_after) as claim,
      s.is_group and coalesce(a.booked > 0, false) as has_begun,
      -- Rule 5. A class that somebody attends has its day.
      case
        when s.full_time is null then true
        else s.is_group and coalesce(a.booked > 0, false)
          or not s.full_time && tstzrange(s.start, s.start + s.duration)
      end as is_within_limit,
      -- Rule 4. A class ignores its own attendees.
      case
        when s.is_group and a.booked > 0
        then a.booked < s.capacity and not coalesce(s.busy_elsewhere && tstzrange(
          s.start - s.buffer_before, s.start + s.duration + s.buffer_after
        ), false)
        else not coalesce(s.busy && tstzrange(
          s.start - s.buffer_before, s.start + s.duration + s.buffer_after
        ), false)
      end as is_free
    from starts s
    left join attended a
      on a.staff_id = s.staff_id and a.location_id = s.location_id
      and a.shape_id = s.shape_id and a.start_time = s.start
    where s.start >= s.first_start and s.start < s.end_of_starts
  ),
  -- Compact schedules, on local days with an appointment: the starts inside a run of consecutive
  -- free ones.
  inside_runs as materialized (
    select r.staff_id, r.location_id, r.shape_id, r.start
    from (
      select s.staff_id, s.location_id, s.shape_id, s.start,
        s.is_free and lag(s.is_free) over day and lead(s.is_free) over day as is_inside
      from slots s
      where s.is_compact and s.is_on_grid and s.booked_time @> s.start
      window day as (
        partition by s.staff_id, s.location_id, s.shape_id, (s.start at time zone s.zone)::date
        order by s.start
      )
    ) as r
    where r.is_inside
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start, s.ends, s.duration_minutes, s.claim,
    case when s.is_group then s.capacity else 1 end,
    s.booked, s.is_free, s.is_within_limit,
    s.is_free and s.is_within_limit and not s.is_inside,
    -- Rule 6.
    booking.bookable_from(s.start, s.max_advance_days, s.zone, v_zone, v_horizon_days),
    s.start - s.notice,
    s.is_on_grid
  from (
    select s.*, false as is_inside
    from slots s
    where not s.is_compact
    union all
    select s.*, r.start is not null and s.is_on_grid and not s.has_begun
    from slots s
    left join inside_runs r
      on r.staff_id = s.staff_id and r.location_id = s.location_id
      and r.shape_id = s.shape_id and r.start = s.start
    where s.is_compact
  ) as s;
end
$$;

comment on function booking.calculate_slots(
  uuid, uuid[], date, date, timestamptz, uuid, uuid[]
) is
  'Every slot of the grid of these people (null: all) for the local dates p_from to p_to, inclusive,
with its availability by the rules of the design, section 4: is_free (rule 4), is_within_limit (the
day limit of rule 5), is_available (all of 4 and 5). Holds and the clock are not asked.';
