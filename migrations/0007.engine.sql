-- The engine: everything in sql/, in its order. Written by `make engine`; edit sql/ instead.
-- depends: 0006.records

set local role booking_owner;

set local check_function_bodies = off;

-- sql/10_foundation/caller.sql

-- Who is calling: the token's claims, as PostgREST sets them, and nothing else. A setting that was
-- never set reads as null, one that was set in an earlier transaction as ''. No locks.
create or replace function booking.token_claims() returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

comment on function booking.token_claims() is 'The claims of the caller''s token, or null.';

-- Whether the token lets its bearer write this calendar (staff their own, admins and the service
-- every one; p_staff_id null means something that concerns the whole tenant).
create or replace function booking.caller_may_write(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.token_claims();
  v_membership jsonb := v_claims #> array['app_metadata', 'tenants', p_tenant_id::text];
begin
  return coalesce(
    v_claims ->> 'role' = 'service_role'
    or v_membership ->> 'role' = 'admin'
    or (v_membership ->> 'role' = 'staff' and v_membership ->> 'staff_id' = p_staff_id::text),
    false
  );
end
$$;

comment on function booking.caller_may_write(uuid, uuid) is
  'True if the caller''s token is an admin''s of the tenant, the service''s, or that person''s
own.';

-- sql/10_foundation/first_instant.sql

-- The first instant at which the clocks of a zone show a local time. AT TIME ZONE takes the later
-- of two instants when clocks were put back, which is the rule for working hours; a local date,
-- though, begins the first time its midnight comes. Locks nothing, refuses nothing. Inlinable on
-- purpose, hence without a pinned search_path.
create or replace function booking.first_instant(p_local_time timestamp, p_zone text)
returns timestamptz
language sql stable parallel safe
as $$
  select case
    when (earlier.instant at time zone p_zone) = p_local_time
    then least(earlier.instant, later.instant)
    else later.instant
  end
  from (select p_local_time at time zone p_zone as instant) as later
  -- As far back as the clocks were put back during the day before.
  cross join lateral (
    select later.instant - (
      ((later.instant - interval '24 hours') at time zone p_zone)
      + interval '24 hours' - p_local_time
    ) as instant
  ) as earlier
$$;

comment on function booking.first_instant(timestamp, text) is
  'The first instant at which clocks in the IANA zone show this local time (or, if it is skipped,
the instant of the change).';

-- sql/10_foundation/local_period.sql

-- The local time from p_start to p_end on a date: an end at or before the start is the next day's,
-- 24:00 is the next midnight, and no times at all are the whole day. Inlinable on purpose, hence
-- without a pinned search_path.
create or replace function booking.local_period(p_date date, p_start time, p_end time)
returns tsrange
language sql immutable parallel safe
as $$
  select tsrange(
    p_date + coalesce(p_start, '00:00'),
    p_date + coalesce(p_end, '24:00')
      + case when p_end <= p_start then interval '1 day' else interval '0' end
  )
$$;

comment on function booking.local_period(date, time, time) is
  'A period of local time on a date; overnight if it ends at or before its start.';

-- sql/10_foundation/refusals.sql

-- Trigger functions that refuse what no table may see. They raise before anything is written.

-- TRUNCATE fires no row triggers, so the slots would go on offering what no longer holds.
create or replace function booking.refuse_truncate() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = format('booking.%I cannot be truncated', tg_table_name),
    detail = 'TRUNCATE tells no trigger which rows went, so availability_slots could not follow.',
    hint = format('Use delete from booking.%I.', tg_table_name);
end
$$;

-- A row never changes tenant: every key, lock and statistic of a tenant hangs on it.
create or replace function booking.refuse_other_key() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'integrity_constraint_violation',
    message = format('tenant_id and id of booking.%I never change', tg_table_name),
    hint = 'Insert a new row and delete this one.';
end
$$;

-- The caller's token must cover the calendar before its lock is taken, or a stranger could make
-- others wait. Runs as the invoker: pgbooking's own workers, which run as the owner, have asked
-- already, and a direct connection is ruled by grants and policies.
create or replace function booking.check_caller() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if booking.token_claims() is not null
    and not pg_has_role(current_user, 'booking_owner', 'member')
    and not (
      (tg_op = 'DELETE' or booking.caller_may_write(
        new.tenant_id, (to_jsonb(new) ->> 'staff_id')::uuid
      ))
      and (tg_op = 'INSERT' or booking.caller_may_write(
        old.tenant_id, (to_jsonb(old) ->> 'staff_id')::uuid
      ))
    )
  then
    raise exception using
      errcode = 'insufficient_privilege',
      message = 'this calendar is not yours to change';
  end if;
  return case when tg_op = 'DELETE' then old else new end;
end
$$;

-- Keeps updated_at.
create or replace function booking.touch_updated_at() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  new.updated_at := booking.now();
  return new;
end
$$;

-- sql/10_foundation/time_zones.sql

-- Zones are names of the IANA database, as this server has it; offsets and abbreviations, which AT
-- TIME ZONE would take, know no clock changes. A trigger and not a constraint, because the look-up
-- reads the server's zone files (30 ms), and a constraint is asked at every update of any column.
-- Raises check_violation under the name of the rule, timezone_is_an_iana_name.
create or replace function booking.is_time_zone(p_name text) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (select from pg_catalog.pg_timezone_names where name = p_name)
    and p_name !~ '^(posix|right)/|^(localtime|posixrules|Factory)$'
$$;

comment on function booking.is_time_zone(text) is
  'True for a name of the IANA time zone database, as this server has it.';

create or replace function booking.check_time_zone() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if not booking.is_time_zone(new.timezone) then
    raise exception using
      errcode = 'check_violation',
      constraint = 'timezone_is_an_iana_name',
      message = format(
        'timezone_is_an_iana_name: this server knows no time zone "%s"', new.timezone
      ),
      hint = 'Write a name like Europe/Berlin or UTC.';
  end if;
  return new;
end
$$;

-- sql/20_calculator/bookable_from.sql

-- Rule 6: from when a slot may be booked, null for always: the greatest advance before its start.
-- The horizon is counted in the location's days; where those are not the tenant's, by which
-- materialized_until is set, it is written into the slot. Inlinable on purpose, hence without a
-- pinned search_path. Reads nothing, refuses nothing.
create or replace function booking.bookable_from(
  p_start_time timestamptz,
  p_max_advance_days integer,
  p_zone text,
  p_tenant_zone text,
  p_horizon_days integer
) returns timestamptz
language sql stable parallel safe
as $$
  select greatest(
    p_start_time - p_max_advance_days * interval '24 hours',
    case when p_zone <> p_tenant_zone then booking.first_instant(
      ((p_start_time at time zone p_zone)::date - p_horizon_days)::timestamp, p_zone
    ) end
  )
$$;

comment on function booking.bookable_from(timestamptz, integer, text, text, integer) is
  'Rule 6: the first instant at which a slot may be booked; null is no bound. Design, section 4.';

-- sql/20_calculator/busy_time.sql

-- What takes people's time: the claims of live appointments and the busy times that touch a period.
-- Holds are not among them: they expire by the clock, which is not the calculator's business.
-- Reads only; refuses nothing.
--
-- Here and in the functions that use it the plan is made once, perhaps while tables are empty, and
-- must hold when they are not: no sequential scans, and no JIT, which a plan's cost would start.
create or replace function booking.busy_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_period tstzrange
) returns table (
  staff_id uuid,
  period tstzrange,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  is_appointment boolean
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  return query
  with people as (
    select unnest(p_staff_ids) as staff_id
  )
  select a.staff_id, a.claim, a.location_id, a.shape_id, a.start_time, true
  from people p
  join booking.appointments a
    on a.tenant_id = p_tenant_id and a.staff_id = p.staff_id and a.claim && p_period
  where a.status <> 'cancelled'
  union all
  select b.staff_id, tstzrange(b.start_time, b.end_time), null, null, null, false
  from people p
  join booking.busy_times b
    on b.tenant_id = p_tenant_id and b.staff_id = p.staff_id
    and tstzrange(b.start_time, b.end_time) && p_period;
end
$$;

comment on function booking.busy_time(uuid, uuid[], tstzrange) is
  'Claims of live appointments and busy times of these people that overlap a period.';

-- sql/20_calculator/calculate_slots.sql

-- The calculator: the only place that knows the rules (design, section 4). Every grid slot of these
-- people whose local date of start lies from p_from to p_to, with what rules 4 and 5 say of it and
-- the instants between which rule 6 lets it be booked. It reads tables and neither the clock nor
-- holds; it writes nothing, locks nothing and refuses nothing.
--
--   rule 1  working time    working_time()
--   rule 2  starts          segments, starts
--   rule 3  fit             runs: the limit of each series of starts
--   rule 4  free            piece_busy
--   rule 5  limits          (daily limits and compact schedules: their place is marked below)
--   rule 6  bookable        bookable_from, bookable_until
--
-- One pass over a person's busy time: each piece of working time carries what is busy around it as
-- one multirange, which each of its candidates asks.
create or replace function booking.calculate_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date
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
  is_available boolean,
  bookable_from timestamptz,
  bookable_until timestamptz
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- The planner cannot know how many rows the functions and ranges below yield, expects few, and
-- would compare each piece with each: hash instead.
set enable_nestloop = off
set jit = off
as $$
declare
  v_staff_ids uuid[];
  v_alignment text;
  v_zone text;
  v_horizon_days integer;
  v_longest_before interval;
  v_longest_after interval;
  v_busy_from timestamptz;
  v_busy_until timestamptz;
begin
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

  -- How far around a piece of working time a candidate's claim can reach.
  select
    max(t.buffer_before_minutes) * interval '1 minute',
    max(t.duration_minutes + t.buffer_after_minutes) * interval '1 minute'
  into v_longest_before, v_longest_after
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id and t.is_active;

  if v_longest_after is null then
    return;
  end if;

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
      sh.max_advance_days
    from booking.staff_appointment_types o
    join booking.appointment_types t on t.tenant_id = p_tenant_id and t.id = o.appointment_type_id
    join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = t.shape_id
    where o.tenant_id = p_tenant_id and o.staff_id = any (v_staff_ids) and t.is_active
  ),
  -- Where the dates asked for begin and end, by the clocks of each place.
  places as materialized (
    select
      l.id as location_id,
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
      p_tenant_id, v_staff_ids, tstzrange(v_busy_from, v_busy_until)
    ) b
  ),
  -- Pieces and busy times meet by (person, day in UTC), which hashes; overlap alone would compare
  -- each with each.
  piece_days as (
    select c.piece, c.staff_id, day
    from candidates c
    cross join generate_series(
      date_bin('1 day', c.starts_at - v_longest_before, '2000-01-01 00:00+00'),
      c.ends_at + v_longest_after,
      interval '24 hours'
    ) as day
  ),
  busy_days as (
    select b.staff_id, day, b.period, b.is_appointment
    from busy b
    cross join generate_series(
      date_bin('1 day', greatest(lower(b.period), v_busy_from), '2000-01-01 00:00+00'),
      least(upper(b.period), v_busy_until),
      interval '24 hours'
    ) as day
  ),
  piece_busy as (
    select p.piece, range_agg(b.period) as busy,
      range_agg(b.period) filter (where not b.is_appointment) as busy_elsewhere
    from piece_days p
    join busy_days b on b.staff_id = p.staff_id and b.day = p.day
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
    select c.piece, o.shape_id, c.starts_at as origin, c.ends_at as until
    from candidates c
    join offers o on o.staff_id = c.staff_id
    where v_alignment = 'window'

    union all

    -- By the wall clock: anew at each local midnight, and where the zone's offset changes.
    select c.piece, o.shape_id, s.origin, s.until
    from candidates c
    join offers o on o.staff_id = c.staff_id
    cross join booking.clock_segments(c.starts_at, c.ends_at, c.zone, o.step) as s
    where v_alignment = 'clock'

    union all

    -- Gapless: anew wherever something ends. A class does not move its own grid.
    select g.piece, g.shape_id, g.origin,
      lead(g.origin, 1, g.ends_at) over (partition by g.piece, g.shape_id order by g.origin)
    from (
      select c.piece, o.shape_id, c.starts_at as origin, c.ends_at
      from candidates c
      join offers o on o.staff_id = c.staff_id
      where v_alignment = 'gapless'
      union all
      -- (travel time from the appointment's location is added here)
      select c.piece, o.shape_id, upper(b.period) + o.buffer_before, c.ends_at
      from busy b
      join piece_days d
        on d.staff_id = b.staff_id
        and d.day = date_bin('1 day', upper(b.period), '2000-01-01 00:00+00')
      join candidates c on c.piece = d.piece
      join offers o on o.staff_id = c.staff_id
      where v_alignment = 'gapless'
        and upper(b.period) >= c.starts_at and upper(b.period) < c.ends_at
        and upper(b.period) + o.buffer_before < c.ends_at
        and not (o.is_group and b.is_appointment and b.shape_id is not distinct from o.shape_id)
    ) as g

    union all

    -- A class that has begun to fill stays, whatever becomes of its grid.
    select c.piece, o.shape_id, a.start_time, a.start_time + interval '1 microsecond'
    from attended a
    join offers o on o.staff_id = a.staff_id and o.shape_id = a.shape_id and o.is_group
    join candidates c
      on c.staff_id = a.staff_id and c.location_id = a.location_id
      and a.start_time >= c.starts_at and a.start_time < c.ends_at
  ),
  series as materialized (
    select
      c.staff_id, c.location_id, c.zone, o.shape_id, o.is_group, o.capacity, o.duration_minutes,
      o.duration, o.buffer_before, o.buffer_after, o.notice, o.max_advance_days,
      o.step,
      c.first_start, c.end_of_starts, pb.busy, pb.busy_elsewhere,
      g.origin,
      least(g.until - interval '1 microsecond', c.run_ends_at - o.duration) as last_start,
      c.has_overlaps or o.is_group as may_repeat
    from origins g
    join candidates c on c.piece = g.piece
    join offers o on o.staff_id = c.staff_id and o.shape_id = g.shape_id
    left join piece_busy pb on pb.piece = g.piece
  ),
  starts as (
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
    )
  ),
  slots as (
    select s.*, s.start + s.duration as ends,
      tstzrange(s.start - s.buffer_before, s.start + s.duration + s.buffer_after) as claim
    from starts s
    where s.start >= s.first_start and s.start < s.end_of_starts
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start, s.ends, s.duration_minutes, s.claim,
    case when s.is_group then s.capacity else 1 end,
    coalesce(a.booked, 0),
    -- Rule 4. A class ignores its own attendees, with whom no other live claim can overlap (P1).
    case
      when s.is_group and a.booked > 0
      then a.booked < s.capacity and not coalesce(s.busy_elsewhere && s.claim, false)
      else not coalesce(s.busy && s.claim, false)
    end,
    -- Rule 5 (daily limits, compact schedules) belongs here.
    -- Rule 6.
    booking.bookable_from(s.start, s.max_advance_days, s.zone, v_zone, v_horizon_days),
    s.start - s.notice
  from slots s
  left join attended a
    on a.staff_id = s.staff_id and a.location_id = s.location_id
    and a.shape_id = s.shape_id and a.start_time = s.start;
end
$$;

comment on function booking.calculate_slots(uuid, uuid[], date, date) is
  'Every slot of the grid of these people (null: all) for the local dates p_from to p_to, inclusive,
with its availability by the rules of the design, section 4. Holds and the clock are not asked.';

-- sql/20_calculator/clock_segments.sql

-- Rule 2, alignment 'clock': the stretches of a piece of working time in which starts lie a step
-- apart, each with its first start. A stretch ends at local midnight, because minutes of the day
-- are divisible anew each day, and where the zone's offset changes: a repeated hour counts twice,
-- a skipped one not at all. Reads nothing, refuses nothing.
create or replace function booking.clock_segments(
  p_starts_at timestamptz,
  p_ends_at timestamptz,
  p_zone text,
  p_step interval
) returns table (origin timestamptz, until timestamptz)
language sql stable parallel safe rows 4
set search_path = ''
as $$
  with days as (
    select
      greatest(p_starts_at, booking.first_instant(day, p_zone)) as starts_at,
      least(p_ends_at, booking.first_instant(day + interval '1 day', p_zone)) as ends_at
    from generate_series(
      (p_starts_at at time zone p_zone)::date::timestamp,
      (p_ends_at at time zone p_zone)::date::timestamp,
      interval '1 day'
    ) as day
  ),
  -- Where the offset differs between its ends, a day is cut at the minute the clocks change.
  changes as (
    select d.starts_at, d.ends_at, (
      select min(minute)
      from generate_series(d.starts_at, d.ends_at, interval '1 minute') as minute
      where (minute at time zone p_zone) - (minute at time zone 'UTC')
        <> (d.starts_at at time zone p_zone) - (d.starts_at at time zone 'UTC')
    ) as changes_at
    from days d
    where d.starts_at < d.ends_at
      and (d.starts_at at time zone p_zone) - (d.starts_at at time zone 'UTC')
        <> (d.ends_at at time zone p_zone) - (d.ends_at at time zone 'UTC')
  ),
  segments as (
    select d.starts_at, coalesce(c.changes_at, d.ends_at) as ends_at
    from days d
    left join changes c on c.starts_at = d.starts_at
    where d.starts_at < d.ends_at
    union all
    select c.changes_at, c.ends_at
    from changes c
    where c.changes_at < c.ends_at
  )
  select
    s.starts_at + make_interval(secs => (
      mod(step.seconds - mod(local.seconds, step.seconds), step.seconds)
    )::double precision),
    s.ends_at
  from segments s
  cross join lateral (
    select extract(epoch from (s.starts_at at time zone p_zone)::time) as seconds
  ) as local
  cross join lateral (select extract(epoch from p_step) as seconds) as step
$$;

comment on function booking.clock_segments(timestamptz, timestamptz, text, interval) is
  'The stretches of [p_starts_at, p_ends_at) within which starts divisible by p_step on the wall
clock lie p_step apart, each with the first of them.';

-- sql/20_calculator/expected_slots.sql

-- What availability_slots must hold for these people and local dates: the calculator's grid, from
-- the location's today to the calendar's materialized_until; the slots that a live appointment or
-- a hold names though the grid has them no more (never available, or they would be published when
-- the hold expires); and the hold columns, which say what slot_reservations says. refresh_slots
-- writes it, find_differences compares with it. Reads only, locks nothing, refuses nothing.
--
-- Expired holds that no writer has deleted yet still count: the result follows the rows alone, and
-- readers compare reserved_until with the clock.
create or replace function booking.expected_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date
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
set jit = off
as $$
declare
  -- Nothing is published outside these dates, so nothing outside them is worth calculating.
  v_from date := greatest(p_from, (booking.now() at time zone 'UTC')::date - 1);
  v_to date := least(p_to, (
    select max(c.materialized_until)
    from booking.calendars c
    where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids)
  ));
begin
  return query
  with bounds as materialized (
    select * from booking.published_bounds(p_tenant_id, p_staff_ids, v_from, v_to)
  ),
  edges as (
    select min(b.first_start) as first_start, max(b.end_of_starts) as end_of_starts from bounds b
  ),
  grid as (
    select s.*
    from booking.calculate_slots(p_tenant_id, p_staff_ids, v_from, v_to) s
    join bounds b
      on b.staff_id = s.staff_id and b.location_id = s.location_id
      and s.start_time >= b.first_start and s.start_time < b.end_of_starts
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
      h.session_hash
    from booking.slot_reservations h
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
    select g.staff_id, g.location_id, g.shape_id, g.start_time, g.end_time, g.duration_minutes,
      g.claim, g.capacity, g.is_available, g.bookable_from, g.bookable_until
    from grid g
    union all
    select k.staff_id, k.location_id, k.shape_id, k.start_time, k.end_time, k.duration_minutes,
      k.claim, k.capacity, false, k.bookable_from, k.bookable_until
    from kept k
  ),
  held as (
    select s.staff_id, s.location_id, s.shape_id, s.start_time,
      count(*) filter (where own.is_own)::integer as seats,
      array_agg(h.expires_at order by h.expires_at) filter (where own.is_own) as own_expiries,
      max(h.expires_at) filter (where not own.is_own) as others_expire_at,
      case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
        as session_hash
    from holds h
    join slots s on s.staff_id = h.staff_id and s.claim && h.claim
    cross join lateral (
      select h.location_id = s.location_id and h.shape_id = s.shape_id
        and h.start_time = s.start_time as is_own
    ) as own
    group by s.staff_id, s.location_id, s.shape_id, s.start_time
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes, s.claim,
    s.capacity,
    greatest(s.capacity - coalesce(a.booked, 0) - coalesce(h.seats, 0), 0),
    s.is_available, s.bookable_from, s.bookable_until,
    -- Free again once the holds of other slots are gone and, where attendees and holds fill it,
    -- as many of its own as leave one seat.
    greatest(
      h.others_expire_at,
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
    and h.shape_id = s.shape_id and h.start_time = s.start_time;
end
$$;

comment on function booking.expected_slots(uuid, uuid[], date, date) is
  'What availability_slots must hold for these people and local dates (null: no bound), hold columns
included; nothing before a location''s today or after a calendar''s materialized_until.';

-- sql/20_calculator/published_bounds.sql

-- Between which instants rows of availability_slots exist for each person and place: from the
-- location's today to the calendar's materialized_until, cut to the local dates asked for. Reads
-- only.
create or replace function booking.published_bounds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date
) returns table (
  staff_id uuid,
  location_id uuid,
  zone text,
  tenant_zone text,
  booking_horizon_days integer,
  first_start timestamptz,
  end_of_starts timestamptz
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
begin
  return query
  select c.staff_id, l.id, l.zone, l.tenant_zone, l.booking_horizon_days,
    booking.first_instant(greatest(p_from, (v_now at time zone l.zone)::date)::timestamp, l.zone),
    booking.first_instant((least(p_to, c.materialized_until) + 1)::timestamp, l.zone)
  from booking.calendars c
  cross join (
    select loc.id, coalesce(loc.timezone, t.timezone) as zone, t.timezone as tenant_zone,
      t.booking_horizon_days
    from booking.locations loc
    join booking.tenants t on t.id = loc.tenant_id
    where loc.tenant_id = p_tenant_id
  ) as l
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids);
end
$$;

comment on function booking.published_bounds(uuid, uuid[], date, date) is
  'For each person and place the first instant and the end of what is published.';

-- sql/20_calculator/working_time.sql

-- Rule 1 of the calculator: when people work. For each local date from p_from to p_to the windows
-- of that date at each location, with breaks and closed exceptions cut out; what remains are the
-- date's pieces. A window belongs to the date it begins on, also where it runs past midnight.
--
-- Rows are united as local times and then become instants (AT TIME ZONE: the later of two), so that
-- two rows that touch are one window on the days clocks change, too; inverted ones vanish. Says
-- nothing about activity: that is calculate_slots' business. Reads only; refuses nothing.
create or replace function booking.working_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date
) returns table (
  staff_id uuid,
  location_id uuid,
  zone text,
  local_date date,
  starts_at timestamptz,
  ends_at timestamptz
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  return query
  with days as (
    select day.local_date, extract(isodow from day.local_date)::integer as weekday
    from (
      -- Breaks of the day before and exceptions of the days after reach into the same windows.
      select p_from + n as local_date from generate_series(-1, p_to - p_from + 2) as n
    ) as day
  ),
  zones as (
    select l.id as location_id, coalesce(l.timezone, t.timezone) as zone
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    where l.tenant_id = p_tenant_id
  ),
  hours as materialized (
    select
      h.staff_id, h.location_id, h.weekday, h.start_time, h.end_time, h.valid_from,
      h.valid_until
    from booking.working_hours h
    where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids)
  ),
  places as (
    select distinct h.staff_id, h.location_id from hours h
  ),
  opened as materialized (
    select
      place.staff_id, place.location_id, d.local_date,
      booking.local_period(d.local_date, e.start_time, e.end_time) as period
    from booking.schedule_exceptions e
    join days d on d.local_date between e.first_date and e.last_date
    cross join lateral (
      select e.staff_id, e.location_id
      where e.staff_id = any (p_staff_ids) and e.location_id is not null
      union all
      select p.staff_id, p.location_id
      from places p
      where (e.staff_id is null or e.location_id is null)
        and coalesce(e.staff_id, p.staff_id) = p.staff_id
        and coalesce(e.location_id, p.location_id) = p.location_id
    ) as place
    where e.tenant_id = p_tenant_id and e.kind = 'open' and d.local_date between p_from and p_to
  ),
  weekly as (
    select
      h.staff_id, h.location_id, d.local_date,
      booking.local_period(d.local_date, h.start_time, h.end_time) as period
    from hours h
    join days d
      on d.weekday = h.weekday
      and d.local_date >= coalesce(h.valid_from, d.local_date)
      and d.local_date <= coalesce(h.valid_until, d.local_date)
    where d.local_date between p_from and p_to
      and not exists (
        select from opened o
        where o.staff_id = h.staff_id and o.location_id = h.location_id
          and o.local_date = d.local_date
      )
  ),
  united as (
    select w.staff_id, w.location_id, w.local_date, unnest(range_agg(w.period)) as period
    from (select * from opened union all select * from weekly) as w
    group by w.staff_id, w.location_id, w.local_date
  ),
  windows as materialized (
    select
      u.staff_id, u.location_id, z.zone, u.local_date,
      lower(u.period) at time zone z.zone as starts_at,
      upper(u.period) at time zone z.zone as ends_at
    from united u
    join zones z on z.location_id = u.location_id
  ),
  workplaces as (
    select distinct w.staff_id, w.location_id, w.zone from windows w
  ),
  cuts as (
    select p.staff_id, p.location_id, p.zone, d.local_date,
      booking.local_period(d.local_date, b.start_time, b.end_time) as period
    from booking.breaks b
    join days d
      on d.weekday = coalesce(b.weekday, d.weekday)
      and d.local_date >= coalesce(b.valid_from, d.local_date)
      and d.local_date <= coalesce(b.valid_until, d.local_date)
    join workplaces p
      on p.staff_id = coalesce(b.staff_id, p.staff_id)
      and p.location_id = coalesce(b.location_id, p.location_id)
    where b.tenant_id = p_tenant_id
    union all
    select p.staff_id, p.location_id, p.zone, d.local_date,
      booking.local_period(d.local_date, e.start_time, e.end_time)
    from booking.schedule_exceptions e
    join days d on d.local_date between e.first_date and e.last_date
    join workplaces p
      on p.staff_id = coalesce(e.staff_id, p.staff_id)
      and p.location_id = coalesce(e.location_id, p.location_id)
    where e.tenant_id = p_tenant_id and e.kind = 'closed'
  ),
  -- What is cut from the windows of a date: a window lasts two dates at most, three where a zone
  -- skips one, and a cut begun the date before may reach into it.
  cut_from as (
    select c.staff_id, c.location_id, c.local_date - reach as window_date,
      range_agg(tstzrange(c.starts_at, c.ends_at)) as periods
    from (
      select cut.staff_id, cut.location_id, cut.local_date,
        lower(cut.period) at time zone cut.zone as starts_at,
        upper(cut.period) at time zone cut.zone as ends_at
      from cuts cut
    ) as c
    cross join generate_series(-1, 2) as reach
    where c.starts_at < c.ends_at
    group by c.staff_id, c.location_id, c.local_date - reach
  )
  select w.staff_id, w.location_id, w.zone, w.local_date, lower(piece.period), upper(piece.period)
  from windows w
  left join cut_from c
    on c.staff_id = w.staff_id and c.location_id = w.location_id and c.window_date = w.local_date
  cross join lateral unnest(
    tstzmultirange(tstzrange(w.starts_at, w.ends_at)) - coalesce(c.periods, '{}'::tstzmultirange)
  ) as piece(period)
  where w.starts_at < w.ends_at;
end
$$;

comment on function booking.working_time(uuid, uuid[], date, date) is
  'Rule 1: the pieces of working time of each person, location and local date, as instants. Design,
section 4.';

-- sql/30_slots/drain_refresh_queue.sql

-- Works off refresh_queue, one transaction a calendar, oldest first; several workers skip each
-- other's entries. The entry's row is locked before the calendar and deleted in the same
-- transaction, so that a change that comes meanwhile queues anew. A failing calendar keeps its
-- error for the next run and stops no other. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_tenant_id uuid;
  v_staff_id uuid;
  v_failed uuid[] := array[]::uuid[];
  v_error text;
begin
  loop
    select q.tenant_id, q.staff_id into v_tenant_id, v_staff_id
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id) and q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_tenant_id, array[v_staff_id]);
      delete from booking.refresh_queue q
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    exception when others then
      get stacked diagnostics v_error = message_text;
      v_failed := v_failed || v_staff_id;
      update booking.refresh_queue q
      set attempts = q.attempts + 1, last_error = v_error
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/drop_beaten_holds.sql

-- Deletes the holds that live appointments have beaten, within these claims of these people: holds
-- of other slots that overlap one, and of its own slot the hold with its seat. Runs under the
-- calendars' locks; the hold columns follow through the trigger on slot_reservations.
create or replace function booking.drop_beaten_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  delete from booking.slot_reservations h
  using unnest(p_staff_ids, p_claims) as c(staff_id, claim), booking.appointments a
  where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id and h.claim && c.claim
    and a.tenant_id = p_tenant_id and a.staff_id = h.staff_id and a.claim && h.claim
    and a.status <> 'cancelled'
    and (a.slot_id is distinct from h.slot_id or a.seat = h.seat);
end
$$;

comment on function booking.drop_beaten_holds(uuid, uuid[], tstzrange[]) is
  'Deletes the holds of p_staff_ids[i] within p_claims[i] that a live appointment overlaps.';

-- sql/30_slots/find_differences.sql

-- Promise P2 as a question: where does availability_slots differ from what the calculator and
-- slot_reservations say? Past dates are not asked, and calendars in refresh_queue are left out,
-- both by design. Reads only; run it in a REPEATABLE READ transaction to be sure of one moment.
create or replace function booking.find_differences(
  p_tenant_id uuid,
  p_staff_ids uuid[] default null
) returns table (
  staff_id uuid,
  slot_id uuid,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  kind text,
  published jsonb,
  expected jsonb
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set jit = off
as $$
declare
  v_staff_ids uuid[] := array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = p_tenant_id and (p_staff_ids is null or c.staff_id = any (p_staff_ids))
      and not exists (
        select from booking.refresh_queue q
        where q.tenant_id = p_tenant_id and q.staff_id = c.staff_id
      )
  );
begin
  return query
  with wanted as (
    select e.staff_id, e.location_id, e.shape_id, e.start_time,
      to_jsonb(e) - '{staff_id,location_id,shape_id,start_time}'::text[] as content,
      -- Said twice, the second is missing: nothing can be stored twice.
      row_number() over (
        partition by e.staff_id, e.location_id, e.shape_id, e.start_time
      ) as copy
    from booking.expected_slots(p_tenant_id, v_staff_ids, null, null) e
  ),
  found as (
    select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time,
      to_jsonb(s) - '{tenant_id,id,staff_id,location_id,shape_id,start_time,calculated_at}'::text[]
        as content
    from booking.availability_slots s
    left join booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b
      on b.staff_id = s.staff_id and b.location_id = s.location_id
    where s.tenant_id = p_tenant_id and s.staff_id = any (v_staff_ids)
      and (b.staff_id is null or s.start_time >= b.first_start)
  )
  select
    coalesce(w.staff_id, f.staff_id),
    coalesce(f.id, booking.slot_id(
      p_tenant_id, w.staff_id, w.location_id, w.start_time, w.shape_id
    )),
    coalesce(w.location_id, f.location_id),
    coalesce(w.shape_id, f.shape_id),
    coalesce(w.start_time, f.start_time),
    case when f.id is null then 'missing' when w.content is null then 'extra' else 'wrong' end,
    f.content, w.content
  from wanted w
  full join found f
    on f.staff_id = w.staff_id and f.location_id = w.location_id
    and f.shape_id = w.shape_id and f.start_time = w.start_time and w.copy = 1
  where f.content is distinct from w.content
  order by 1, 5, 4;
end
$$;

comment on function booking.find_differences(uuid, uuid[]) is
  'Rows of availability_slots that are missing, extra or wrong, as published and as expected.';

-- sql/30_slots/lock_calendars.sql

-- The lock that every writer takes: one person's calendar, by raising its revision, several in
-- staff_id order. An UPDATE and not a bare lock, so that a REPEATABLE READ writer fails with 40001
-- instead of publishing from an old snapshot. Once per transaction, or long ones turn quadratic.
-- Look at nothing before it, and look in a statement of its own.

-- Whether this transaction wrote a row version that it sees, itself or in a savepoint: one that is
-- seen and not committed. A wrong "no" only raises a revision twice.
create or replace function booking.is_own_version(p_xmin xid) returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_own bigint := pg_current_xact_id()::text::bigint;
  -- How much younger than this transaction its writer is, on the circle of 32-bit ids.
  v_distance bigint := mod(
    p_xmin::text::bigint - mod(v_own, 4294967296) + 4294967296 + 2147483648, 4294967296
  ) - 2147483648;
begin
  if v_distance <= 0 then
    return v_distance = 0;
  end if;
  return pg_xact_status((v_own + v_distance)::text::xid8) = 'in progress';
exception when invalid_parameter_value then
  -- A row frozen long ago, whose 32-bit id has not been given out again yet.
  return false;
end
$$;

comment on function booking.is_own_version(xid) is
  'Whether the current transaction, or a savepoint of it, wrote a row version with this xmin.';

create or replace function booking.lock_calendars(p_tenant_id uuid, p_staff_ids uuid[])
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_staff_id uuid;
begin
  for v_staff_id in
    select distinct s.id from unnest(p_staff_ids) as s(id) order by s.id
  loop
    update booking.calendars c
    set revision = c.revision + 1
    where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id
      and not booking.is_own_version(c.xmin);

    if not found and not exists (
      select from booking.calendars c
      where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id
    ) then
      raise exception using
        errcode = 'foreign_key_violation',
        message = format('staff_id %s is nobody''s calendar', v_staff_id),
        hint = 'Insert the staff member first; the calendar comes with them.';
    end if;
  end loop;
end
$$;

comment on function booking.lock_calendars(uuid, uuid[]) is
  'Locks these calendars until the transaction ends and raises their revisions, in staff_id order.';

-- sql/30_slots/materialization_end.sql

-- The last local date that has rows: the tenant's today + least(precompute_days, horizon). Reads
-- only.
create or replace function booking.materialization_end(p_tenant_id uuid) returns date
language sql stable parallel safe
set search_path = ''
as $$
  select (booking.now() at time zone t.timezone)::date
    + least(t.precompute_days, t.booking_horizon_days)
  from booking.tenants t
  where t.id = p_tenant_id
$$;

comment on function booking.materialization_end(uuid) is
  'The date up to which a refresh of today fills availability_slots.';

-- sql/30_slots/nightly_refresh.sql

-- The nightly rebuild: each calendar's whole horizon, in a transaction of its own. A night on
-- which nothing changed writes the new last day and deletes the past one. A calendar that fails is
-- queued with its error, and the next one follows. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.nightly_refresh(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_calendar record;
  v_error text;
begin
  for v_calendar in
    select c.tenant_id, c.staff_id
    from booking.calendars c
    where p_tenant_id is null or c.tenant_id = p_tenant_id
    order by c.tenant_id, c.staff_id
  loop
    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
    exception when others then
      get stacked diagnostics v_error = message_text;
      insert into booking.refresh_queue as q (tenant_id, staff_id, reason, attempts, last_error)
      select c.tenant_id, c.staff_id, 'nightly refresh failed', 1, v_error
      from booking.calendars c
      where c.tenant_id = v_calendar.tenant_id and c.staff_id = v_calendar.staff_id
      on conflict (tenant_id, staff_id)
      do update set attempts = q.attempts + 1, last_error = excluded.last_error;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/people_at.sql

-- Whom a change at some places concerns: everybody with weekly hours, exceptions, booked or held
-- slots there, and for a null among the places everybody of the tenant. Reads only; ask after
-- lock_tenant.
create or replace function booking.people_at(p_tenant_id uuid, p_location_ids uuid[])
returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = p_tenant_id
      and (
        array_position(p_location_ids, null) is not null
        or exists (
          select from booking.working_hours h
          where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id
            and h.location_id = any (p_location_ids)
        )
        or exists (
          select from booking.schedule_exceptions e
          where e.tenant_id = p_tenant_id and e.staff_id = c.staff_id
            and e.location_id = any (p_location_ids)
        )
        -- Their slots are kept, whether or not anybody works there.
        or exists (
          select from booking.appointments a
          where a.tenant_id = p_tenant_id and a.staff_id = c.staff_id
            and a.location_id = any (p_location_ids) and a.slot_id is not null
        )
        or exists (
          select from booking.slot_reservations h
          where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id
            and h.location_id = any (p_location_ids)
        )
      )
    order by c.staff_id
  )
$$;

comment on function booking.people_at(uuid, uuid[]) is
  'The people whose slots can depend on these places (null among them: everyone of the tenant).';

-- sql/30_slots/refresh_around.sql

-- Refreshes the local dates on which these claims or busy times can make a difference: their own,
-- in every zone the tenant works in, widened by the longest claim and the longest travel time (a
-- slot that overlaps them may begin that much earlier), and one day more on either side, because
-- overnight pieces of working time hang their grid on the date before. Locks those calendars.
create or replace function booking.refresh_around(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_periods tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_reach interval := make_interval(mins => (
    select coalesce(max(t.buffer_before_minutes + t.duration_minutes + t.buffer_after_minutes), 0)
    from booking.appointment_types t
    where t.tenant_id = p_tenant_id
  ) + (
    select coalesce(max(t.minutes), 0) from booking.travel_times t where t.tenant_id = p_tenant_id
  ));
  v_dates daterange[];
begin
  select array_agg((
    select daterange(
      min(((lower(p.period) - v_reach) at time zone z.zone)::date) - 1,
      max(((upper(p.period) + v_reach) at time zone z.zone)::date) + 1,
      '[]'
    )
    from (
      select coalesce(l.timezone, t.timezone) as zone
      from booking.tenants t
      left join booking.locations l on l.tenant_id = t.id
      where t.id = p_tenant_id
      group by 1
    ) as z
  ) order by p.position)
  into v_dates
  from unnest(p_periods) with ordinality as p(period, position);

  perform booking.refresh_dates(p_tenant_id, p_staff_ids, v_dates);
end
$$;

comment on function booking.refresh_around(uuid, uuid[], tstzrange[]) is
  'Refreshes p_staff_ids[i] around p_periods[i]; a person may occur several times.';

-- sql/30_slots/refresh_dates.sql

-- Refreshes different local dates of different people of one tenant: what a statement changed, one
-- recalculation per stretch of dates, or one for all where that would be many (a bulk load is one
-- set-based pass). Locks those calendars, in staff_id order.
create or replace function booking.refresh_dates(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_dates daterange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_stretches constant integer := 16;
  v_stretches integer;
  v_staff_ids uuid[];
  v_dates daterange;
begin
  perform booking.lock_calendars(p_tenant_id, p_staff_ids);

  select count(*) into v_stretches
  from (
    select unnest(range_agg(change.dates))
    from unnest(p_staff_ids, p_dates) as change(staff_id, dates)
    group by change.staff_id
  ) as stretch;

  if v_stretches > c_most_stretches then
    select array_agg(distinct change.staff_id), range_merge(range_agg(change.dates))
    into v_staff_ids, v_dates
    from unnest(p_staff_ids, p_dates) as change(staff_id, dates);

    perform booking.refresh_slots(
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1
    );
    return;
  end if;

  for v_staff_ids, v_dates in
    select array_agg(s.staff_id), s.dates
    from (
      select change.staff_id, unnest(range_agg(change.dates)) as dates
      from unnest(p_staff_ids, p_dates) as change(staff_id, dates)
      group by change.staff_id
    ) as s
    group by s.dates
  loop
    perform booking.refresh_slots(p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1);
  end loop;
end
$$;

comment on function booking.refresh_dates(uuid, uuid[], daterange[]) is
  'Refreshes p_dates[i] (local dates) of p_staff_ids[i]; a person may occur several times.';

-- sql/30_slots/refresh_horizon.sql

-- Everything of these calendars: moves materialized_until to the tenant's today +
-- least(precompute_days, booking_horizon_days), refreshes every date up to it and deletes past
-- dates and those beyond. What the nightly refresh, the queue and wide changes run. Locks the
-- calendars.
create or replace function booking.refresh_horizon(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  out inserted bigint,
  out updated bigint,
  out deleted bigint
)
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
set enable_nestloop = off
as $$
declare
  v_staff_ids uuid[] := coalesce(p_staff_ids, array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id
  ));
  v_until date;
  v_latest_first_start timestamptz;
  v_earliest_end_of_starts timestamptz;
  v_outside bigint;
begin
  perform booking.lock_calendars(p_tenant_id, v_staff_ids);
  v_until := booking.materialization_end(p_tenant_id);

  update booking.calendars c
  set materialized_until = v_until
  where c.tenant_id = p_tenant_id and c.staff_id = any (v_staff_ids)
    and c.materialized_until <> v_until;

  -- Plain values let the index find the few rows outside; which they are, each location's zone
  -- says.
  select max(b.first_start), min(b.end_of_starts)
  into v_latest_first_start, v_earliest_end_of_starts
  from booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b;

  delete from booking.availability_slots s
  using booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b
  where s.tenant_id = p_tenant_id and s.staff_id = any (v_staff_ids)
    and (s.start_time < v_latest_first_start or s.start_time >= v_earliest_end_of_starts)
    and b.staff_id = s.staff_id and b.location_id = s.location_id
    and (s.start_time < b.first_start or s.start_time >= b.end_of_starts);
  get diagnostics v_outside = row_count;

  select r.inserted, r.updated, r.deleted + v_outside
  into inserted, updated, deleted
  from booking.refresh_slots(p_tenant_id, v_staff_ids, null, null) r;
end
$$;

comment on function booking.refresh_horizon(uuid, uuid[]) is
  'Refreshes all published dates of these people (null: all), moves the horizon, drops past dates,
and returns how many rows that took.';

-- sql/30_slots/refresh_or_queue.sql

-- A wide change: a few calendars are refreshed at once, many are queued with the reason, and the
-- change's own transaction stays short.
--
-- lock_tenant comes first, before the people are listed: whoever makes a person newly concerned
-- shares that lock, so nobody is overlooked by both. Then calendars, in staff_id order.
create or replace function booking.lock_tenant(p_tenant_id uuid) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  -- An old snapshot would list the people of yesterday, and no lock could tell.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using
      errcode = 'invalid_transaction_state',
      message = 'a change that concerns several calendars needs a READ COMMITTED transaction',
      detail = format('This one is %s.', upper(current_setting('transaction_isolation'))),
      hint = 'Such are tenants, locations, appointment types, travel times, and breaks and '
        'exceptions for everyone.';
  end if;

  -- An UPDATE, so that a REPEATABLE READ writer that shares the lock later fails with 40001 instead
  -- of publishing what this change has made stale.
  update booking.tenants t set updated_at = booking.now() where t.id = p_tenant_id;
end
$$;

comment on function booking.lock_tenant(uuid) is
  'Locks a tenant''s row for a change that concerns several calendars, until the transaction ends.';

create or replace function booking.refresh_or_queue(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_reason text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_calendars_at_once constant integer := 20;
begin
  if cardinality(p_staff_ids) <= c_most_calendars_at_once then
    perform booking.refresh_horizon(p_tenant_id, p_staff_ids);
    return;
  end if;

  -- Not "do nothing": whoever is working an entry off holds its row, so this waits and queues anew.
  insert into booking.refresh_queue as q (tenant_id, staff_id, reason, queued_at)
  select p_tenant_id, s.id, p_reason, booking.now()
  from unnest(p_staff_ids) as s(id)
  order by s.id
  on conflict (tenant_id, staff_id)
  do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0;
end
$$;

comment on function booking.refresh_or_queue(uuid, uuid[], text) is
  'Refreshes up to 20 calendars now, or puts more of them into refresh_queue with the reason.';

-- sql/30_slots/refresh_slots.sql

-- Publishing: compares what the calculator says with what is stored and writes only the difference.
-- Locks the calendars first, in staff_id order; the comparison is a later statement, whose snapshot
-- is younger than the lock. Past dates and dates after materialized_until are left alone.
create or replace function booking.refresh_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
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
set jit = off
as $$
declare
  v_staff_ids uuid[] := coalesce(p_staff_ids, array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id
  ));
  v_now timestamptz;
  v_first_start timestamptz;
  v_end_of_starts timestamptz;
begin
  perform booking.lock_calendars(p_tenant_id, v_staff_ids);
  v_now := booking.now();

  -- As plain values, so that a calendar's rows are found by index, however many others there are.
  select min(b.first_start), max(b.end_of_starts)
  into v_first_start, v_end_of_starts
  from booking.published_bounds(p_tenant_id, v_staff_ids, p_from, p_to) b;

  with bounds as materialized (
    select * from booking.published_bounds(p_tenant_id, v_staff_ids, p_from, p_to)
  ),
  expected as (
    select e.*, true as is_expected
    from booking.expected_slots(p_tenant_id, v_staff_ids, p_from, p_to) e
  ),
  stored as (
    select s.*
    from booking.availability_slots s
    left join bounds b on b.staff_id = s.staff_id and b.location_id = s.location_id
    where s.tenant_id = p_tenant_id and s.staff_id = any (v_staff_ids)
      and s.start_time >= v_first_start and s.start_time < v_end_of_starts
      -- A location that is no more has no bounds, and no slots either.
      and (
        b.staff_id is null or (s.start_time >= b.first_start and s.start_time < b.end_of_starts)
      )
  ),
  difference as materialized (
    select e.*, s.id as stored_id
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
      and s.id = any (array(select d.stored_id from difference d where d.is_expected is null))
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
  into inserted, updated, deleted;
end
$$;

comment on function booking.refresh_slots(uuid, uuid[], date, date) is
  'Makes availability_slots of these people (null: all) equal to what the calculator says, for the
local dates p_from to p_to that are published, and returns how many rows that took.';

-- sql/30_slots/row_locks.sql

-- BEFORE ROW triggers that take the locks of a raw write, so that the lock and the exclusion index
-- are always met in the same order. They run as the owner because nobody else may touch calendars;
-- check_caller, whose name sorts first, has refused strangers by then.

-- The calendars of the row as it was and as it will be.
create or replace function booking.lock_calendar_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    perform booking.lock_calendars(old.tenant_id, array[old.staff_id]);
    return old;
  end if;

  perform booking.lock_calendars(
    new.tenant_id, case when tg_op = 'UPDATE' then array[old.staff_id] end || new.staff_id
  );
  return new;
end
$$;

-- The same for tables whose rows decide whom a change of the tenant, a place or a type concerns:
-- the tenant's row is shared first, so that lock_tenant waits for this or makes it wait, then the
-- person's calendar is locked. A row for everyone (staff_id null) is such a wide change itself.
create or replace function booking.lock_schedule_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid := case when tg_op = 'DELETE' then old.tenant_id else new.tenant_id end;
  v_staff_ids uuid[] := case when tg_op <> 'DELETE' then array[new.staff_id] end
    || case when tg_op <> 'INSERT' then array[old.staff_id] end;
begin
  if array_position(v_staff_ids, null) is not null then
    perform booking.lock_tenant(v_tenant_id);
  else
    perform from booking.tenants t where t.id = v_tenant_id for share;
  end if;

  perform booking.lock_calendars(v_tenant_id, array_remove(v_staff_ids, null));
  return case when tg_op = 'DELETE' then old else new end;
end
$$;

-- For booking.staff itself, whose id is the calendar's.
create or replace function booking.lock_calendar_of_staff() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  perform from booking.tenants t where t.id = new.tenant_id for share;
  if tg_op = 'UPDATE' then
    perform booking.lock_calendars(new.tenant_id, array[new.id]);
  end if;
  return new;
end
$$;

-- For rows that concern many: the tenant's row before the first of them is written.
create or replace function booking.lock_tenant_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  perform booking.lock_tenant(case when tg_op = 'DELETE' then old.tenant_id else new.tenant_id end);
  return case when tg_op = 'DELETE' then old else new end;
end
$$;

-- sql/30_slots/schedule_changed.sql

-- AFTER STATEMENT trigger of the tables that make up schedules: weekly hours, breaks, exceptions
-- and who offers what. Rows of one person are recalculated at once: an exception's own dates and
-- one on either side (overnight pieces hang on the date before), anything weekly until the
-- horizon. Rows for everyone concern many and are refreshed or queued. Runs as the owner because
-- only the owner writes slots; the row triggers hold the locks.
create or replace function booking.schedule_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_rows jsonb[];
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_dates daterange[];
  v_location_ids uuid[];
begin
  if tg_op = 'UPDATE' then
    v_rows := array(
      select to_jsonb(o) from old_rows o union select to_jsonb(n) from changed_rows n
    );
  else
    v_rows := array(select to_jsonb(c) from changed_rows c);
  end if;

  for v_tenant_id, v_location_ids in
    select (r.content ->> 'tenant_id')::uuid, array_agg((r.content ->> 'location_id')::uuid)
    from unnest(v_rows) as r(content)
    where r.content ->> 'staff_id' is null
    group by 1
  loop
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, v_location_ids), tg_table_name || ' changed'
    );
  end loop;

  for v_tenant_id, v_staff_ids, v_dates in
    select (r.content ->> 'tenant_id')::uuid,
      array_agg((r.content ->> 'staff_id')::uuid),
      array_agg(daterange(
        (r.content ->> 'first_date')::date - 1,
        (r.content ->> 'last_date')::date + 1 + case
          when (r.content ->> 'end_time')::time <= (r.content ->> 'start_time')::time then 1 else 0
        end,
        '[]'
      ))
    from unnest(v_rows) as r(content)
    where r.content ->> 'staff_id' is not null
    group by 1
  loop
    perform booking.refresh_dates(v_tenant_id, v_staff_ids, v_dates);
  end loop;
  return null;
end
$$;

-- sql/50_triggers/appointment_types.sql

-- appointment_types: each finds its shape or makes it; what changes the slots concerns everyone who
-- offers the type.

-- Equal effective values share a shape; a class has its own, whose step, notice and advance change
-- in place. The tenant's row is locked before its defaults are read. Runs as the owner because
-- only the owner writes shapes.
create or replace function booking.find_shape() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_step_minutes integer;
  v_min_notice_minutes integer;
begin
  perform booking.lock_tenant(new.tenant_id);

  select coalesce(new.slot_step_minutes, t.slot_step_minutes),
    coalesce(new.min_notice_minutes, t.min_notice_minutes)
  into v_step_minutes, v_min_notice_minutes
  from booking.tenants t
  where t.id = new.tenant_id;

  if new.capacity > 1 and tg_op = 'INSERT' then
    -- Only a name yet: create_group_shape makes it once the row is really there, which it may
    -- never be (on conflict).
    new.shape_id := gen_random_uuid();
    return new;
  end if;

  if new.capacity > 1 then
    insert into booking.slot_shapes as sh (
      tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
      min_notice_minutes, max_advance_days, group_type_id
    )
    values (
      new.tenant_id, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes,
      v_step_minutes, v_min_notice_minutes, new.max_advance_days, new.id
    )
    on conflict (
      tenant_id, group_type_id, duration_minutes, buffer_before_minutes, buffer_after_minutes
    ) where group_type_id is not null
    do update set step_minutes = excluded.step_minutes,
      min_notice_minutes = excluded.min_notice_minutes,
      max_advance_days = excluded.max_advance_days
    returning sh.id into new.shape_id;
    return new;
  end if;

  insert into booking.slot_shapes (
    tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
    min_notice_minutes, max_advance_days
  )
  values (
    new.tenant_id, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes,
    v_step_minutes, v_min_notice_minutes, new.max_advance_days
  )
  on conflict do nothing;

  select sh.id into new.shape_id
  from booking.slot_shapes sh
  where sh.tenant_id = new.tenant_id and sh.group_type_id is null
    and sh.duration_minutes = new.duration_minutes
    and sh.buffer_before_minutes = new.buffer_before_minutes
    and sh.buffer_after_minutes = new.buffer_after_minutes
    and sh.step_minutes = v_step_minutes
    and sh.min_notice_minutes = v_min_notice_minutes
    and sh.max_advance_days is not distinct from new.max_advance_days;
  return new;
end
$$;

-- The shape of a new class, under the name that find_shape gave it.
create or replace function booking.create_group_shape() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  insert into booking.slot_shapes (
    tenant_id, id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
    min_notice_minutes, max_advance_days, group_type_id
  )
  select
    new.tenant_id, new.shape_id, new.duration_minutes, new.buffer_before_minutes,
    new.buffer_after_minutes, coalesce(new.slot_step_minutes, t.slot_step_minutes),
    coalesce(new.min_notice_minutes, t.min_notice_minutes), new.max_advance_days, new.id
  from booking.tenants t
  where t.id = new.tenant_id;
  return null;
end
$$;

-- Shapes are never deleted, so neither is a type that has been a class.
create or replace function booking.refuse_class_delete() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if exists (
    select from booking.slot_shapes sh
    where sh.tenant_id = old.tenant_id and sh.group_type_id = old.id
  ) then
    raise exception using
      errcode = 'foreign_key_violation',
      message = format('appointment type "%s" is or was a class and cannot be deleted', old.code),
      detail = 'Its slots keep their ids as long as anything may name them.',
      hint = 'Set is_active to false.';
  end if;
  return old;
end
$$;

create or replace function booking.appointment_types_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_type_ids uuid[];
begin
  for v_tenant_id, v_type_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (
      o.shape_id, o.capacity, o.is_active, o.slot_step_minutes, o.min_notice_minutes,
      o.max_advance_days
    ) is distinct from (
      n.shape_id, n.capacity, n.is_active, n.slot_step_minutes, n.min_notice_minutes,
      n.max_advance_days
    )
    group by n.tenant_id
    order by n.tenant_id
  loop
    perform booking.lock_tenant(v_tenant_id);
    -- Also whoever offers it no more but has its slots booked or held: a class's capacity is
    -- theirs.
    perform booking.refresh_or_queue(v_tenant_id, array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = v_tenant_id and o.appointment_type_id = any (v_type_ids)
      union
      select a.staff_id
      from booking.appointments a
      where a.tenant_id = v_tenant_id and a.appointment_type_id = any (v_type_ids)
        and a.slot_id is not null
      union
      select h.staff_id
      from booking.slot_reservations h
      where h.tenant_id = v_tenant_id and h.appointment_type_id = any (v_type_ids)
      order by 1
    ), 'appointment_types changed');
  end loop;
  return null;
end
$$;

create or replace trigger appointment_types_2_find_shape
before insert or update of
  duration_minutes, buffer_before_minutes, buffer_after_minutes, slot_step_minutes, capacity,
  min_notice_minutes, max_advance_days, is_active, shape_id
on booking.appointment_types
for each row execute function booking.find_shape();

create or replace trigger appointment_types_3_touch_updated_at
before update on booking.appointment_types
for each row execute function booking.touch_updated_at();

create or replace trigger appointment_types_refuse_other_key
before update of tenant_id, id on booking.appointment_types
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger appointment_types_inserted
after insert on booking.appointment_types
for each row when (new.capacity > 1)
execute function booking.create_group_shape();

create or replace trigger appointment_types_refuse_class_delete
before delete on booking.appointment_types
for each row execute function booking.refuse_class_delete();

create or replace trigger appointment_types_refuse_truncate
before truncate on booking.appointment_types
for each statement execute function booking.refuse_truncate();

create or replace trigger appointment_types_updated
after update on booking.appointment_types
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointment_types_changed();

-- sql/50_triggers/appointments.sql

-- appointments: whoever writes, the calendar is locked before the exclusion index is met, seats are
-- given out under that lock, and the slots follow in the same transaction.
--
--   before row        1 caller checked, 2 calendar locked, 3 seat taken (or slot cleared)
--   after statement   holds it beats are deleted, the days around old and new claims recalculated

-- Moving an appointment by hand takes it off its slot. Taking a seat copies the type's capacity, is
-- refused when attendees and holds fill the class, and gets the lowest free seat, so that a lowered
-- capacity is never refilled past. Runs under the calendar's lock.
create or replace function booking.take_seat() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_group_type_id uuid;
  v_taken integer[];
begin
  if tg_op = 'UPDATE' and new.slot_id is not distinct from old.slot_id and (
    new.staff_id, new.location_id, new.start_time, new.end_time,
    new.buffer_before_minutes, new.buffer_after_minutes
  ) is distinct from (
    old.staff_id, old.location_id, old.start_time, old.end_time,
    old.buffer_before_minutes, old.buffer_after_minutes
  ) then
    new.slot_id := null;
    new.shape_id := null;
  end if;

  if new.slot_id is null then
    new.seat := 1;
    new.capacity := 1;
    return new;
  end if;

  if tg_op = 'UPDATE' and new.slot_id is not distinct from old.slot_id
    and new.appointment_type_id = old.appointment_type_id
    and (new.status = 'cancelled' or old.status <> 'cancelled')
  then
    if new.seat <> old.seat or new.capacity <> old.capacity then
      raise exception using
        errcode = 'check_violation',
        message = 'seat and capacity of an appointment are given out, not written',
        hint = 'Cancel the appointment and book again.';
    end if;
    return new;
  end if;

  select sh.group_type_id into v_group_type_id
  from booking.slot_shapes sh
  where sh.tenant_id = new.tenant_id and sh.id = new.shape_id;

  if v_group_type_id is null then
    new.seat := 1;
    new.capacity := 1;
    return new;
  end if;

  if v_group_type_id <> new.appointment_type_id then
    raise exception using
      errcode = 'check_violation',
      message = 'a class has slots of its own',
      detail = 'appointment_type_id is not the appointment type that slot_id belongs to.';
  end if;

  select t.capacity into new.capacity
  from booking.appointment_types t
  where t.tenant_id = new.tenant_id and t.id = new.appointment_type_id;

  v_taken := array(
    select a.seat
    from booking.appointments a
    where a.tenant_id = new.tenant_id and a.slot_id = new.slot_id
      and a.status <> 'cancelled' and a.id <> new.id
    union all
    select h.seat
    from booking.slot_reservations h
    where h.tenant_id = new.tenant_id and h.slot_id = new.slot_id
      and h.expires_at > booking.now()
  );

  if new.status <> 'cancelled' and cardinality(v_taken) >= new.capacity then
    raise exception using
      errcode = 'exclusion_violation',
      message = format('all %s seats of this slot are taken', new.capacity);
  end if;

  new.seat := (
    select coalesce(min(s.seat), 1)
    from generate_series(1, new.capacity) as s(seat)
    where s.seat <> all (v_taken)
  );
  return new;
end
$$;

create or replace trigger appointments_1_check_caller
before insert or update or delete on booking.appointments
for each row execute function booking.check_caller();

create or replace trigger appointments_2_lock_calendar
before insert or delete on booking.appointments
for each row execute function booking.lock_calendar_of_row();

-- Notes and payments change no slot and need no lock.
create or replace trigger appointments_2_lock_calendar_on_update
before update on booking.appointments
for each row when (
  (
    old.staff_id, old.location_id, old.appointment_type_id, old.shape_id, old.slot_id, old.seat,
    old.capacity, old.start_time, old.end_time, old.buffer_before_minutes,
    old.buffer_after_minutes, old.status = 'cancelled'
  ) is distinct from (
    new.staff_id, new.location_id, new.appointment_type_id, new.shape_id, new.slot_id, new.seat,
    new.capacity, new.start_time, new.end_time, new.buffer_before_minutes,
    new.buffer_after_minutes, new.status = 'cancelled'
  )
)
execute function booking.lock_calendar_of_row();

create or replace trigger appointments_3_take_seat
before insert or update on booking.appointments
for each row execute function booking.take_seat();

create or replace trigger appointments_4_touch_updated_at
before update on booking.appointments
for each row execute function booking.touch_updated_at();

create or replace trigger appointments_refuse_other_key
before update of tenant_id, id on booking.appointments
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger appointments_refuse_truncate
before truncate on booking.appointments
for each statement execute function booking.refuse_truncate();

-- An appointment written by hand wins over holds: those of other slots that it overlaps go, and of
-- its own class only the one with its seat. Then the days around old and new claims are
-- recalculated. Runs as the owner because only the owner writes slots and holds.
create or replace function booking.appointments_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_claims tstzrange[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_claims in
      with before_change as (
        select o.tenant_id, o.id, o.staff_id, o.location_id, o.claim, o.slot_id
        from old_rows o
        where o.status <> 'cancelled'
      ),
      after_change as (
        select n.tenant_id, n.id, n.staff_id, n.location_id, n.claim, n.slot_id
        from changed_rows n
        where n.status <> 'cancelled'
      ),
      changed as (
        (select * from before_change except select * from after_change)
        union all
        (select * from after_change except select * from before_change)
      )
      select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
      from changed c
      group by c.tenant_id
    loop
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_claims in
    select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
    from changed_rows c
    where c.status <> 'cancelled'
    group by c.tenant_id
  loop
    if tg_op = 'INSERT' then
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
    end if;
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
  end loop;
  return null;
end
$$;

create or replace trigger appointments_inserted
after insert on booking.appointments
referencing new table as changed_rows
for each statement execute function booking.appointments_changed();

create or replace trigger appointments_updated
after update on booking.appointments
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointments_changed();

create or replace trigger appointments_deleted
after delete on booking.appointments
referencing old table as changed_rows
for each statement execute function booking.appointments_changed();

-- sql/50_triggers/breaks.sql

-- breaks: one person's are recalculated until the horizon; a break for everyone is a wide change
-- (schedule_changed).

create or replace trigger breaks_1_check_caller
before insert or update or delete on booking.breaks
for each row execute function booking.check_caller();

create or replace trigger breaks_2_lock_schedule
before insert or update or delete on booking.breaks
for each row execute function booking.lock_schedule_of_row();

create or replace trigger breaks_3_touch_updated_at
before update on booking.breaks
for each row execute function booking.touch_updated_at();

create or replace trigger breaks_refuse_other_key
before update of tenant_id, id on booking.breaks
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger breaks_refuse_truncate
before truncate on booking.breaks
for each statement execute function booking.refuse_truncate();

create or replace trigger breaks_inserted
after insert on booking.breaks
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger breaks_updated
after update on booking.breaks
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger breaks_deleted
after delete on booking.breaks
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();

-- sql/50_triggers/busy_times.sql

-- busy_times: the calendar is locked row by row, and after the statement the days around
-- what was busy and what is busy now are recalculated. Runs as the owner because only the owner
-- writes slots.
create or replace function booking.busy_times_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_periods tstzrange[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_periods in
      select c.tenant_id, array_agg(c.staff_id), array_agg(tstzrange(c.start_time, c.end_time))
      from (
        select * from old_rows
        union all
        select * from changed_rows
      ) as c
      group by c.tenant_id
    loop
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_periods in
    select c.tenant_id, array_agg(c.staff_id), array_agg(tstzrange(c.start_time, c.end_time))
    from changed_rows c
    group by c.tenant_id
  loop
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
  end loop;
  return null;
end
$$;

create or replace trigger busy_times_1_check_caller
before insert or update or delete on booking.busy_times
for each row execute function booking.check_caller();

create or replace trigger busy_times_2_lock_calendar
before insert or update or delete on booking.busy_times
for each row execute function booking.lock_calendar_of_row();

create or replace trigger busy_times_3_touch_updated_at
before update on booking.busy_times
for each row execute function booking.touch_updated_at();

create or replace trigger busy_times_refuse_other_key
before update of tenant_id, id on booking.busy_times
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger busy_times_refuse_truncate
before truncate on booking.busy_times
for each statement execute function booking.refuse_truncate();

create or replace trigger busy_times_inserted
after insert on booking.busy_times
referencing new table as changed_rows
for each statement execute function booking.busy_times_changed();

create or replace trigger busy_times_updated
after update on booking.busy_times
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.busy_times_changed();

create or replace trigger busy_times_deleted
after delete on booking.busy_times
referencing old table as changed_rows
for each statement execute function booking.busy_times_changed();

-- sql/50_triggers/calendars.sql

-- calendars: they come and go with their people. Without one nobody could be locked, nor compared.

create or replace function booking.refuse_calendar_delete() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = 'calendars follow booking.staff and are not deleted by hand',
    hint = 'Delete or deactivate the staff member.';
end
$$;

create or replace trigger calendars_refuse_delete
before delete on booking.calendars
for each row when (pg_trigger_depth() = 0)
execute function booking.refuse_calendar_delete();

create or replace trigger calendars_refuse_truncate
before truncate on booking.calendars
for each statement execute function booking.refuse_truncate();

-- sql/50_triggers/locations.sql

-- locations: zone and activity concern everyone who works there.

create or replace function booking.locations_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_location_ids uuid[];
begin
  for v_tenant_id, v_location_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (o.timezone, o.is_active) is distinct from (n.timezone, n.is_active)
    group by n.tenant_id
    order by n.tenant_id
  loop
    perform booking.lock_tenant(v_tenant_id);
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, v_location_ids), 'locations changed'
    );
  end loop;
  return null;
end
$$;

-- Foreign keys have seen to it that nothing but past slots is left of a place that is deleted.
create or replace function booking.locations_deleted() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  delete from booking.availability_slots s
  using changed_rows o
  where s.tenant_id = o.tenant_id and s.location_id = o.id;
  return null;
end
$$;

create or replace trigger locations_1_check_time_zone
before insert on booking.locations
for each row when (new.timezone is not null)
execute function booking.check_time_zone();

create or replace trigger locations_1_check_time_zone_on_update
before update on booking.locations
for each row when (old.timezone is distinct from new.timezone and new.timezone is not null)
execute function booking.check_time_zone();

create or replace trigger locations_3_touch_updated_at
before update on booking.locations
for each row execute function booking.touch_updated_at();

create or replace trigger locations_refuse_other_key
before update of tenant_id, id on booking.locations
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger locations_refuse_truncate
before truncate on booking.locations
for each statement execute function booking.refuse_truncate();

create or replace trigger locations_updated
after update on booking.locations
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.locations_changed();

create or replace trigger locations_deleted
after delete on booking.locations
referencing old table as changed_rows
for each statement execute function booking.locations_deleted();

-- sql/50_triggers/members.sql

-- members: nothing published depends on it; updated_at is kept.
create or replace trigger members_3_touch_updated_at
before update on booking.members
for each row execute function booking.touch_updated_at();

-- sql/50_triggers/price_rules.sql

-- price_rules: nothing published depends on it; updated_at is kept.
create or replace trigger price_rules_3_touch_updated_at
before update on booking.price_rules
for each row execute function booking.touch_updated_at();

-- sql/50_triggers/schedule_exceptions.sql

-- schedule_exceptions: one person's dates are recalculated; one for everyone is a wide change
-- (schedule_changed).

create or replace trigger schedule_exceptions_1_check_caller
before insert or update or delete on booking.schedule_exceptions
for each row execute function booking.check_caller();

create or replace trigger schedule_exceptions_2_lock_schedule
before insert or update or delete on booking.schedule_exceptions
for each row execute function booking.lock_schedule_of_row();

create or replace trigger schedule_exceptions_3_touch_updated_at
before update on booking.schedule_exceptions
for each row execute function booking.touch_updated_at();

create or replace trigger schedule_exceptions_refuse_other_key
before update of tenant_id, id on booking.schedule_exceptions
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger schedule_exceptions_refuse_truncate
before truncate on booking.schedule_exceptions
for each statement execute function booking.refuse_truncate();

create or replace trigger schedule_exceptions_inserted
after insert on booking.schedule_exceptions
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger schedule_exceptions_updated
after update on booking.schedule_exceptions
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger schedule_exceptions_deleted
after delete on booking.schedule_exceptions
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();

-- sql/50_triggers/settings.sql

-- settings: nothing published depends on it; updated_at is kept.
create or replace trigger settings_3_touch_updated_at
before update on booking.settings
for each row execute function booking.touch_updated_at();

-- sql/50_triggers/slot_reservations.sql

-- slot_reservations: holds change who may book until when, so the hold columns of the slots they
-- overlap follow in the same transaction. Whoever deletes holds of a calendar that others may book
-- in locks it first, or the two wait for each other: a raw DELETE has the hold before the
-- calendar. Runs as the owner because only the owner writes slots.
create or replace function booking.slot_reservations_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_periods tstzrange[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_periods in
      select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
      from (
        select * from old_rows
        union all
        select * from changed_rows
      ) as c
      group by c.tenant_id
    loop
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_periods in
    select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
    from changed_rows c
    group by c.tenant_id
  loop
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_periods);
  end loop;
  return null;
end
$$;

-- Under the lock: expired holds go before a new one comes, what the shape and type say is filled
-- in, and a live appointment is refused as it would be by the other side.
create or replace function booking.check_hold() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and new.slot_id = old.slot_id then
    return new;
  end if;

  if tg_op = 'INSERT' then
    delete from booking.slot_reservations h
    where h.tenant_id = new.tenant_id and h.staff_id = new.staff_id
      and h.expires_at <= booking.now();
  end if;

  select
    booking.claim_of(
      new.start_time, new.start_time + sh.duration_minutes * interval '1 minute',
      sh.buffer_before_minutes, sh.buffer_after_minutes
    ),
    coalesce(t.capacity, 1)
  into new.claim, new.capacity
  from booking.slot_shapes sh
  left join booking.appointment_types t on t.tenant_id = sh.tenant_id and t.id = sh.group_type_id
  where sh.tenant_id = new.tenant_id and sh.id = new.shape_id;

  if exists (
    select from booking.appointments a
    where a.tenant_id = new.tenant_id and a.staff_id = new.staff_id and a.claim && new.claim
      and a.status <> 'cancelled'
      and (a.slot_id is distinct from new.slot_id or a.seat = new.seat)
  ) then
    raise exception using
      errcode = 'exclusion_violation',
      message = 'a hold cannot overlap a live appointment';
  end if;
  return new;
end
$$;

create or replace trigger slot_reservations_1_check_caller
before insert or update or delete on booking.slot_reservations
for each row execute function booking.check_caller();

create or replace trigger slot_reservations_2_lock_calendar
before insert or update or delete on booking.slot_reservations
for each row execute function booking.lock_calendar_of_row();

create or replace trigger slot_reservations_3_check_hold
before insert or update on booking.slot_reservations
for each row execute function booking.check_hold();

create or replace trigger slot_reservations_refuse_other_key
before update of tenant_id, id on booking.slot_reservations
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger slot_reservations_refuse_truncate
before truncate on booking.slot_reservations
for each statement execute function booking.refuse_truncate();

create or replace trigger slot_reservations_inserted
after insert on booking.slot_reservations
referencing new table as changed_rows
for each statement execute function booking.slot_reservations_changed();

create or replace trigger slot_reservations_updated
after update on booking.slot_reservations
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.slot_reservations_changed();

create or replace trigger slot_reservations_deleted
after delete on booking.slot_reservations
referencing old table as changed_rows
for each statement execute function booking.slot_reservations_changed();

-- sql/50_triggers/slot_shapes.sql

-- slot_shapes: made and changed by appointment types alone, never deleted: appointments and slot
-- ids hang on them.

create or replace function booking.refuse_shape_change() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = 'slot_shapes follow appointment_types and are not written by hand',
    hint = 'Change the appointment type.';
end
$$;

create or replace trigger slot_shapes_refuse_change
before update or delete on booking.slot_shapes
for each row when (pg_trigger_depth() = 0)
execute function booking.refuse_shape_change();

create or replace trigger slot_shapes_refuse_truncate
before truncate on booking.slot_shapes
for each statement execute function booking.refuse_truncate();

-- sql/50_triggers/staff.sql

-- staff: a calendar comes with each person; activity and preferences change the person's horizon.

create or replace function booking.create_calendar() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  insert into booking.calendars (tenant_id, staff_id, materialized_until)
  values (new.tenant_id, new.id, booking.materialization_end(new.tenant_id));
  return null;
end
$$;

create or replace function booking.staff_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
begin
  for v_tenant_id, v_staff_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (o.is_active, o.max_appointments_per_day, o.compact_schedule)
      is distinct from (n.is_active, n.max_appointments_per_day, n.compact_schedule)
    group by n.tenant_id
  loop
    perform booking.refresh_slots(v_tenant_id, v_staff_ids, null, null);
  end loop;
  return null;
end
$$;

-- Foreign keys have seen to it that nothing but slots is left of a person who is deleted.
create or replace function booking.staff_deleted() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  delete from booking.availability_slots s
  using changed_rows o
  where s.tenant_id = o.tenant_id and s.staff_id = o.id;
  return null;
end
$$;

create or replace trigger staff_2_share_tenant
before insert on booking.staff
for each row execute function booking.lock_calendar_of_staff();

create or replace trigger staff_2_lock_calendar
before update on booking.staff
for each row when (
  (old.is_active, old.max_appointments_per_day, old.compact_schedule)
  is distinct from (new.is_active, new.max_appointments_per_day, new.compact_schedule)
)
execute function booking.lock_calendar_of_staff();

create or replace trigger staff_3_touch_updated_at
before update on booking.staff
for each row execute function booking.touch_updated_at();

create or replace trigger staff_refuse_other_key
before update of tenant_id, id on booking.staff
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger staff_refuse_truncate
before truncate on booking.staff
for each statement execute function booking.refuse_truncate();

create or replace trigger staff_inserted
after insert on booking.staff
for each row execute function booking.create_calendar();

create or replace trigger staff_updated
after update on booking.staff
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.staff_changed();

create or replace trigger staff_deleted
after delete on booking.staff
referencing old table as changed_rows
for each statement execute function booking.staff_deleted();

-- sql/50_triggers/staff_appointment_types.sql

-- staff_appointment_types: whoever begins or ceases to offer something is recalculated until the
-- horizon (schedule_changed).

create or replace trigger staff_appointment_types_1_check_caller
before insert or update or delete on booking.staff_appointment_types
for each row execute function booking.check_caller();

create or replace trigger staff_appointment_types_2_lock_schedule
before insert or update or delete on booking.staff_appointment_types
for each row execute function booking.lock_schedule_of_row();

create or replace trigger staff_appointment_types_refuse_other_key
before update of tenant_id on booking.staff_appointment_types
for each row when (old.tenant_id <> new.tenant_id)
execute function booking.refuse_other_key();

create or replace trigger staff_appointment_types_refuse_truncate
before truncate on booking.staff_appointment_types
for each statement execute function booking.refuse_truncate();

create or replace trigger staff_appointment_types_inserted
after insert on booking.staff_appointment_types
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger staff_appointment_types_updated
after update on booking.staff_appointment_types
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger staff_appointment_types_deleted
after delete on booking.staff_appointment_types
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();

-- sql/50_triggers/tenants.sql

-- tenants: zone, alignment, horizon and defaults concern everyone; deactivation takes effect in the
-- public view at once, and in the slots with the refresh.

create or replace function booking.tenants_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_has_other_defaults boolean;
begin
  for v_tenant_id, v_has_other_defaults in
    select n.id, (o.slot_step_minutes, o.min_notice_minutes)
      is distinct from (n.slot_step_minutes, n.min_notice_minutes)
    from changed_rows n
    join old_rows o on o.id = n.id
    where (
      o.timezone, o.is_active, o.slot_step_minutes, o.slot_alignment, o.booking_horizon_days,
      o.precompute_days, o.min_notice_minutes
    ) is distinct from (
      n.timezone, n.is_active, n.slot_step_minutes, n.slot_alignment, n.booking_horizon_days,
      n.precompute_days, n.min_notice_minutes
    )
    order by n.id
  loop
    perform booking.lock_tenant(v_tenant_id);
    if v_has_other_defaults then
      -- Types that take the tenant's step or notice find their shapes anew.
      update booking.appointment_types t
      set shape_id = t.shape_id
      where t.tenant_id = v_tenant_id
        and (t.slot_step_minutes is null or t.min_notice_minutes is null);
    end if;
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, array[null::uuid]), 'tenants changed'
    );
  end loop;
  return null;
end
$$;

create or replace trigger tenants_1_check_time_zone
before insert on booking.tenants
for each row execute function booking.check_time_zone();

create or replace trigger tenants_1_check_time_zone_on_update
before update on booking.tenants
for each row when (old.timezone is distinct from new.timezone)
execute function booking.check_time_zone();

create or replace trigger tenants_3_touch_updated_at
before update on booking.tenants
for each row execute function booking.touch_updated_at();

create or replace function booking.refuse_other_tenant_id() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'integrity_constraint_violation',
    message = 'id of booking.tenants never changes';
end
$$;

create or replace trigger tenants_refuse_other_key
before update of id on booking.tenants
for each row when (old.id <> new.id)
execute function booking.refuse_other_tenant_id();

create or replace trigger tenants_refuse_truncate
before truncate on booking.tenants
for each statement execute function booking.refuse_truncate();

create or replace trigger tenants_updated
after update on booking.tenants
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.tenants_changed();

-- sql/50_triggers/travel_times.sql

-- travel_times: a change concerns everyone of the tenant who may travel.

create or replace function booking.travel_times_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
begin
  for v_tenant_id in
    select c.tenant_id from changed_rows c group by c.tenant_id order by c.tenant_id
  loop
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, array[null::uuid]), 'travel_times changed'
    );
  end loop;
  return null;
end
$$;

create or replace trigger travel_times_2_lock_tenant
before insert or update or delete on booking.travel_times
for each row execute function booking.lock_tenant_of_row();

create or replace trigger travel_times_3_touch_updated_at
before update on booking.travel_times
for each row execute function booking.touch_updated_at();

create or replace trigger travel_times_refuse_other_key
before update of tenant_id, id on booking.travel_times
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger travel_times_refuse_truncate
before truncate on booking.travel_times
for each statement execute function booking.refuse_truncate();

create or replace trigger travel_times_inserted
after insert on booking.travel_times
referencing new table as changed_rows
for each statement execute function booking.travel_times_changed();

create or replace trigger travel_times_updated
after update on booking.travel_times
referencing new table as changed_rows
for each statement execute function booking.travel_times_changed();

create or replace trigger travel_times_deleted
after delete on booking.travel_times
referencing old table as changed_rows
for each statement execute function booking.travel_times_changed();

-- sql/50_triggers/working_hours.sql

-- working_hours: the tenant is shared and the calendar locked row by row; after the statement the
-- person is recalculated until the horizon (schedule_changed).

create or replace trigger working_hours_1_check_caller
before insert or update or delete on booking.working_hours
for each row execute function booking.check_caller();

create or replace trigger working_hours_2_lock_schedule
before insert or update or delete on booking.working_hours
for each row execute function booking.lock_schedule_of_row();

create or replace trigger working_hours_3_touch_updated_at
before update on booking.working_hours
for each row execute function booking.touch_updated_at();

create or replace trigger working_hours_refuse_other_key
before update of tenant_id, id on booking.working_hours
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger working_hours_refuse_truncate
before truncate on booking.working_hours
for each statement execute function booking.refuse_truncate();

create or replace trigger working_hours_inserted
after insert on booking.working_hours
referencing new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger working_hours_updated
after update on booking.working_hours
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.schedule_changed();

create or replace trigger working_hours_deleted
after delete on booking.working_hours
referencing old table as changed_rows
for each statement execute function booking.schedule_changed();

-- sql/60_policies/appointment_types.sql

-- appointment_types: everyone may see active ones.
drop policy if exists everyone_reads_active on booking.appointment_types;

create policy everyone_reads_active on booking.appointment_types
for select to anon, authenticated, service_role
using (is_active);

-- sql/60_policies/availability_slots.sql

-- availability_slots: everyone may see what can be booked now. The clock and the private columns
-- are the policy's business, so that callers need no right to them; (select …) asks once per
-- query.
drop policy if exists everyone_reads_bookable on booking.availability_slots;

create policy everyone_reads_bookable on booking.availability_slots
for select to anon, authenticated, service_role
using (
  is_available
  and bookable_until > (select booking.now())
  and (bookable_from is null or bookable_from <= (select booking.now()))
  and (reserved_until is null or reserved_until <= (select booking.now()))
);

-- sql/60_policies/locations.sql

-- locations: everyone may see active ones.
drop policy if exists everyone_reads_active on booking.locations;

create policy everyone_reads_active on booking.locations
for select to anon, authenticated, service_role
using (is_active);

-- sql/60_policies/staff.sql

-- staff: everyone may see active people.
drop policy if exists everyone_reads_active on booking.staff;

create policy everyone_reads_active on booking.staff
for select to anon, authenticated, service_role
using (is_active);

-- sql/60_policies/staff_appointment_types.sql

-- staff_appointment_types: everyone may see who offers what; the view asks whether both are active.
drop policy if exists everyone_reads_all on booking.staff_appointment_types;

create policy everyone_reads_all on booking.staff_appointment_types
for select to anon, authenticated, service_role
using (true);

-- sql/60_policies/tenants.sql

-- tenants: everyone may see that an active one exists.
drop policy if exists everyone_reads_active on booking.tenants;

create policy everyone_reads_active on booking.tenants
for select to anon, authenticated, service_role
using (is_active);

-- sql/70_api/appointment_types.sql

-- What can be booked, of active tenants.
create or replace view api.appointment_types with (security_invoker = true) as
select
  y.id, y.tenant_id, y.shape_id, y.code, y.name, y.duration_minutes, y.price_cents, y.currency,
  y.requires_payment, y.capacity
from booking.appointment_types y
where exists (select from booking.tenants t where t.id = y.tenant_id);

comment on view api.appointment_types is
  'Services that can be booked
shape_id tells which slots fit the service; price_cents is gross, in hundredths of the currency;
capacity above 1 is a class.';

-- sql/70_api/availability_slots.sql

-- The mission's one SELECT: slots that can be booked now. The policy on the table decides what that
-- is; the view asks that tenant, person and place are active, whatever the queue has still to do.
create or replace view api.availability_slots with (security_invoker = true) as
select
  s.id, s.tenant_id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, greatest(s.seats_left, 1) as seats_left, s.is_available
from booking.availability_slots s
where exists (select from booking.tenants t where t.id = s.tenant_id)
  and exists (
    select from booking.staff p where p.tenant_id = s.tenant_id and p.id = s.staff_id
  )
  and exists (
    select from booking.locations l where l.tenant_id = s.tenant_id and l.id = s.location_id
  );

comment on view api.availability_slots is
  'Slots that can be booked now
Filter by tenant_id, staff_id, duration_minutes and start_time (an instant with a time zone). Times
are UTC instants, half open; seats_left counts places in a class and is 1 for a single slot;
is_available is always true.';

-- sql/70_api/locations.sql

-- Public names of active places of active tenants.
create or replace view api.locations with (security_invoker = true) as
select l.id, l.tenant_id, l.name, coalesce(l.timezone, t.timezone) as timezone
from booking.locations l
join booking.tenants t on t.id = l.tenant_id;

comment on view api.locations is
  'Places where appointments happen
timezone is the IANA name in which the place''s dates and hours are meant; never null.';

-- sql/70_api/staff.sql

-- Public names of active people of active tenants.
create or replace view api.staff with (security_invoker = true) as
select s.id, s.tenant_id, s.display_name
from booking.staff s
where exists (select from booking.tenants t where t.id = s.tenant_id);

comment on view api.staff is
  'People who can be booked
Their public names, for active people of active tenants.';

-- sql/70_api/staff_appointment_types.sql

-- Who offers what, of active people, types and tenants.
create or replace view api.staff_appointment_types with (security_invoker = true) as
select o.tenant_id, o.staff_id, o.appointment_type_id
from booking.staff_appointment_types o
where exists (select from booking.tenants t where t.id = o.tenant_id)
  and exists (
    select from booking.staff s where s.tenant_id = o.tenant_id and s.id = o.staff_id
  )
  and exists (
    select from booking.appointment_types y
    where y.tenant_id = o.tenant_id and y.id = o.appointment_type_id
  );

comment on view api.staff_appointment_types is
  'Who offers which service
Active people and services of active tenants.';

-- sql/90_grants.sql

-- The whole access matrix. First everything is taken back, so that running this again leaves
-- exactly what stands here. Views run as their invoker: callers need the columns that a view shows
-- or joins by, and no others; what decides (is_active, bookable_*, reserved_until) is the
-- policies' business.
revoke all on all tables in schema booking from anon, authenticated, service_role;
revoke all on all tables in schema api from anon, authenticated, service_role;
revoke all on all functions in schema booking from anon, authenticated, service_role;
revoke all on all functions in schema api from anon, authenticated, service_role;
revoke all on schema booking from anon, authenticated, service_role;
revoke all on schema api from anon, authenticated, service_role;

grant usage on schema api to anon, authenticated, service_role;
grant usage on schema booking to anon, authenticated, service_role;

-- Asked by the policies.
grant execute on function booking.now() to anon, authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, shape_id, start_time, end_time, duration_minutes,
  seats_left, is_available
) on booking.availability_slots to anon, authenticated, service_role;
grant select on api.availability_slots to anon, authenticated, service_role;

grant select (id, timezone) on booking.tenants to anon, authenticated, service_role;

grant select (id, tenant_id, name, timezone)
on booking.locations to anon, authenticated, service_role;
grant select on api.locations to anon, authenticated, service_role;

grant select (id, tenant_id, display_name)
on booking.staff to anon, authenticated, service_role;
grant select on api.staff to anon, authenticated, service_role;

grant select (
  id, tenant_id, shape_id, code, name, duration_minutes, price_cents, currency, requires_payment,
  capacity
) on booking.appointment_types to anon, authenticated, service_role;
grant select on api.appointment_types to anon, authenticated, service_role;

grant select (tenant_id, staff_id, appointment_type_id)
on booking.staff_appointment_types to anon, authenticated, service_role;
grant select on api.staff_appointment_types to anon, authenticated, service_role;
