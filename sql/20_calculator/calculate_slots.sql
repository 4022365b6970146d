-- The calculator: the only place that knows the rules (design, section 4). Every grid slot of these
-- people whose local date of start lies from p_from to p_to, with what rules 4 and 5 say of it and
-- the instants between which rule 6 lets it be booked. It reads tables and neither the clock nor
-- holds; it writes nothing, locks nothing and refuses nothing.
--
--   rule 1  working time    working_time()
--   rule 2  starts          series, starts
--   rule 3  fit             runs: the limit of each series of starts
--   rule 4  free            piece_busy, slots.is_free
--   rule 5  limits          booked_time(), slots.is_within_limit, inside_runs
--   rule 6  bookable        bookable_from, bookable_until
--
-- Whoever wants to know of one start, on the grid or not, names it (p_asked_start): then it is
-- among the results, with is_on_grid false where rule 2 does not offer it.
-- p_without_appointment_id is one that is about to move and frees its own time first. Both are
-- calculate_slot's business. p_shape_ids leaves slots of these shapes only: no shape's slots depend
-- on another's.
--
-- One pass over a person's busy time: each piece of working time carries what is busy around it as
-- one multirange, which each of its candidates asks. Nothing is joined start by start: a series of
-- starts carries all that its starts need.
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
-- would compare each piece with each: hash instead, whatever the caller has set for itself.
set enable_nestloop = off
set enable_mergejoin = off
set enable_hashjoin = on
set jit = off
as $$
declare
  v_staff_ids uuid[];
  v_limited_ids uuid[];
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

  select array_agg(s.id),
    array_agg(s.id) filter (where s.max_appointments_per_day is not null or s.compact_schedule)
  into v_staff_ids, v_limited_ids
  from booking.staff s
  where s.tenant_id = p_tenant_id and s.is_active
    and (p_staff_ids is null or s.id = any (p_staff_ids));

  if v_staff_ids is null then
    return;
  end if;

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
      (sh.duration_minutes + sh.buffer_after_minutes) * interval '1 minute' as claim_end,
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
    where v_longest_travel > interval '0'
  ),
  -- Pieces and busy times meet by (person, day in UTC), which hashes; overlap alone would compare
  -- each with each.
  piece_days as materialized (
    select c.piece, c.staff_id, c.location_id, c.starts_at, c.ends_at, day
    from candidates c
    cross join generate_series(
      date_bin('1 day', c.starts_at - v_longest_before, '2000-01-01 00:00+00'),
      c.ends_at + v_longest_after,
      interval '24 hours'
    ) as day
  ),
  busy_days as materialized (
    select b.staff_id, day, b.period, b.location_id, b.shape_id
    from busy b
    cross join generate_series(
      date_bin('1 day', greatest(lower(b.period), v_busy_from), '2000-01-01 00:00+00'),
      least(upper(b.period), v_busy_until),
      interval '24 hours'
    ) as day
  ),
  -- Seen from the piece's place: an appointment elsewhere bars the way to and from it, too.
  -- busy_elsewhere is all but appointments here, with whom a started class cannot overlap (P1);
  -- endings are when something ends in the piece, after the way from there.
  piece_busy as (
    select p.piece, range_agg(barred.period) as busy,
      range_agg(barred.period) filter (where b.location_id is distinct from p.location_id)
        as busy_elsewhere,
      array_agg(upper(barred.period)) filter (where ending.is_inside) as endings,
      array_agg(b.shape_id) filter (where ending.is_inside) as ended_shape_ids
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
    cross join lateral (
      select v_alignment = 'gapless'
        and upper(b.period) >= p.starts_at and upper(b.period) < p.ends_at as is_inside
    ) as ending
    group by p.piece
  ),
  -- Live attendees of slots: they fill a class, and keep its start on the grid.
  attended as (
    select a.piece, a.shape_id, array_agg(a.start_time) as attended_starts,
      array_agg(a.booked) as booked_at
    from (
      select d.piece, b.shape_id, b.start_time, count(*)::integer as booked
      from busy b
      join piece_days d
        on d.staff_id = b.staff_id and d.location_id = b.location_id
        and d.day = date_bin('1 day', b.start_time, '2000-01-01 00:00+00')
        and b.start_time >= d.starts_at and b.start_time < d.ends_at
      where b.shape_id is not null
      group by d.piece, b.shape_id, b.start_time
    ) as a
    group by a.piece, a.shape_id
  ),
  -- Starts that go on from an origin by steps, and all that they need.
  series as materialized (
    select
      row_number() over () as series,
      c.staff_id, c.location_id, c.zone,
      o.shape_id, o.is_group, case when o.is_group then o.capacity else 1 end as capacity,
      o.duration_minutes, o.duration, o.buffer_before, o.claim_end, o.notice, o.max_advance_days,
      o.step, o.is_compact, l.booked_time, l.full_time, c.first_start,
      pb.busy, pb.busy_elsewhere, a.attended_starts, a.booked_at,
      g.origin,
      least(
        g.until - interval '1 microsecond', c.run_ends_at - o.duration,
        c.end_of_starts - interval '1 microsecond'
      ) as last_start,
      c.has_overlaps or o.is_group as may_repeat, g.is_on_grid
    from candidates c
    join offers o on o.staff_id = c.staff_id
    left join piece_busy pb on pb.piece = c.piece
    left join attended a on a.piece = c.piece and a.shape_id = o.shape_id
    left join booking.booked_time(
      p_tenant_id, v_limited_ids, tstzrange(v_busy_from, v_busy_until), p_without_appointment_id
    ) l on l.staff_id = c.staff_id and l.location_id = c.location_id
    -- Rule 2: where a series of starts begins, and what ends it.
    cross join lateral (
      select c.starts_at as origin, c.ends_at as until, true as is_on_grid
      where v_alignment = 'window'

      union all

      -- By the wall clock: anew at each local midnight, and where the zone's offset changes.
      select s.origin, s.until, true
      from booking.clock_segments(c.starts_at, c.ends_at, c.zone, o.step) as s
      where v_alignment = 'clock'

      union all

      -- Gapless: anew wherever something ends. A class does not move its own grid.
      select e.origin, lead(e.origin, 1, c.ends_at) over (order by e.origin), true
      from (
        select c.starts_at as origin
        union all
        select e.ending + o.buffer_before
        from unnest(pb.endings, pb.ended_shape_ids) as e(ending, shape_id)
        where e.ending + o.buffer_before < c.ends_at
          and not (o.is_group and coalesce(e.shape_id = o.shape_id, false))
      ) as e
      where v_alignment = 'gapless'

      union all

      -- A class that has begun to fill stays, whatever becomes of its grid.
      select attended_start, attended_start + interval '1 microsecond', true
      from unnest(a.attended_starts) as attended_start
      where o.is_group

      union all

      select p_asked_start, p_asked_start + interval '1 microsecond', false
      where p_asked_start >= c.starts_at and p_asked_start < c.ends_at
    ) as g
  ),
  -- A start that several series have is in one of them.
  distinct_starts as (
    select d.series, array_agg(d.start) as starts
    from (
      select distinct on (s.staff_id, s.location_id, s.shape_id, start) s.series, start
      from series s
      cross join lateral generate_series(s.origin, s.last_start, s.step) as start
      where s.may_repeat
      order by s.staff_id, s.location_id, s.shape_id, start, s.is_on_grid desc
    ) as d
    group by d.series
  ),
  starts as not materialized (
    select s.*, start.start,
      coalesce(s.booked_at[array_position(s.attended_starts, start.start)], 0) as booked
    from series s
    left join distinct_starts d on d.series = s.series
    cross join lateral (
      select generate_series(s.origin, s.last_start, s.step) as start where not s.may_repeat
      union all
      select unnest(d.starts)
    ) as start
    where start.start >= s.first_start
  ),
  slots as not materialized (
    select s.*, s.is_group and s.booked > 0 as has_begun,
      tstzrange(s.start - s.buffer_before, s.start + s.claim_end) as claim,
      -- Rule 5. A class that somebody attends has its day.
      s.full_time is null or s.is_group and s.booked > 0
        or not s.full_time && tstzrange(s.start, s.start + s.duration) as is_within_limit,
      -- Rule 4. A class ignores its own attendees.
      case
        when s.is_group and s.booked > 0
        then s.booked < s.capacity and not coalesce(
          s.busy_elsewhere && tstzrange(s.start - s.buffer_before, s.start + s.claim_end), false
        )
        else not coalesce(
          s.busy && tstzrange(s.start - s.buffer_before, s.start + s.claim_end), false
        )
      end as is_free
    from starts s
  ),
  -- Compact schedules, on local days with an appointment: the starts inside a run of consecutive
  -- free ones.
  inside_runs as (
    select r.series, array_agg(r.start) as starts
    from (
      select s.series, s.start,
        s.is_free and lag(s.is_free) over day and lead(s.is_free) over day as is_inside
      from slots s
      where s.is_compact and s.is_on_grid and s.booked_time @> s.start
      window day as (
        partition by s.staff_id, s.location_id, s.shape_id, (s.start at time zone s.zone)::date
        order by s.start
      )
    ) as r
    where r.is_inside
    group by r.series
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start, s.start + s.duration, s.duration_minutes,
    s.claim, s.capacity, s.booked, s.is_free, s.is_within_limit,
    s.is_free and s.is_within_limit and not (
      s.is_compact and s.is_on_grid and not s.has_begun
      and coalesce(s.start = any (r.starts), false)
    ),
    -- Rule 6.
    booking.bookable_from(s.start, s.max_advance_days, s.zone, v_zone, v_horizon_days),
    s.start - s.notice,
    s.is_on_grid
  from slots s
  left join inside_runs r on r.series = s.series;
end
$$;

comment on function booking.calculate_slots(
  uuid, uuid[], date, date, timestamptz, uuid, uuid[]
) is
  'Every slot of the grid of these people (null: all) for the local dates p_from to p_to, inclusive,
with its availability by the rules of the design, section 4: is_free (rule 4), is_within_limit (the
day limit of rule 5), is_available (all of 4 and 5). Holds and the clock are not asked.';
