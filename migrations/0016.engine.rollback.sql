-- Puts the engine back to what it was. Written by `make engine`.

set local role booking_owner;

set local check_function_bodies = off;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

do $$
begin
  if to_regclass('booking.calendars') is not null then
    lock table booking.calendars in exclusive mode;
  end if;
end
$$;

-- sql/10_foundation/caller.sql

-- Who is calling: the token's claims, as PostgREST sets them, and nothing else. A setting that was
-- never set reads as null, one that was set in an earlier transaction as ''. No locks.
create or replace function booking.caller_claims() returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

comment on function booking.caller_claims() is 'The claims of the caller''s token, or null.';

create or replace function booking.caller_role() returns text
language sql stable parallel safe
set search_path = ''
as $$
  select booking.caller_claims() ->> 'role'
$$;

comment on function booking.caller_role() is 'The role that the caller''s token names, or null.';

-- Users are UUIDs; whoever has another subject is nobody here.
create or replace function booking.caller_id() returns uuid
language sql stable parallel safe
set search_path = ''
as $$
  select case
    when booking.caller_claims() ->> 'sub'
      ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then (booking.caller_claims() ->> 'sub')::uuid
  end
$$;

comment on function booking.caller_id() is 'The signed-in caller: the sub of their token, or null.';

-- Whether the token's bearer sees this tenant's calendars: its staff and admins, and the service.
create or replace function booking.caller_is_member(p_tenant_id uuid) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select coalesce(
    booking.caller_role() = 'service_role'
    or booking.caller_claims() #>> array['app_metadata', 'tenants', p_tenant_id::text, 'role']
      in ('admin', 'staff'),
    false
  )
$$;

comment on function booking.caller_is_member(uuid) is
  'True if the caller''s token is the service''s, or one of the tenant''s staff or admins.';

-- sql/10_foundation/client_address.sql

-- Where a call comes from: the entry of x-forwarded-for that the outermost proxy of ours wrote, the
-- n-th from the right, n = settings.trusted_proxies. What stands further left is the client's own
-- word. Null where there is none, or where no proxy is trusted. Reads only; refuses nothing.
create or replace function booking.client_address() returns inet
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_entries text[] := regexp_split_to_array(
    nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-forwarded-for', '\s*,\s*'
  );
  v_proxies integer := (select s.trusted_proxies from booking.settings s);
  v_entry text := v_entries[cardinality(v_entries) - v_proxies + 1];
  v_address inet;
begin
  -- Some proxies add a port (192.0.2.1:4711, [2001:db8::1]:4711), some write an IPv4 address as
  -- IPv6 (::ffff:192.0.2.1).
  v_address := coalesce(
    substring(v_entry from '^(\d+\.\d+\.\d+\.\d+):\d+$'),
    substring(v_entry from '^\[([0-9a-fA-F:.]+)\](?::\d+)?$'),
    substring(v_entry from '^[0-9a-fA-F:.]+$')
  )::inet;
  return coalesce(substring(host(v_address) from '^::ffff:([0-9.]+)$')::inet, v_address);
exception when invalid_text_representation then
  return null;
end
$$;

comment on function booking.client_address() is
  'The caller''s address, as the outermost trusted proxy saw it, or null.';

-- One household is one client: an IPv6 address counts by its /64.
create or replace function booking.client_network() returns inet
language sql stable parallel unsafe
set search_path = ''
as $$
  select case
    when family(a.address) = 6 then network(set_masklen(a.address, 64))
    else a.address
  end
  from booking.client_address() as a(address)
$$;

comment on function booking.client_network() is
  'The caller''s address, or of an IPv6 address its /64; null where there is none.';

create or replace function booking.address_hash() returns bytea
language sql stable parallel unsafe
set search_path = ''
as $$
  select sha256(convert_to(s.hash_salt::text || booking.client_network(), 'UTF8'))
  from booking.settings s
$$;

comment on function booking.address_hash() is
  'The caller''s address (IPv6: its /64) as salted SHA-256, or null.';

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

-- sql/10_foundation/iso_time.sql

-- An instant as answers write it: ISO 8601 in UTC, whatever the session's zone; a fraction of a
-- second only where there is one.
create or replace function booking.iso_time(p_time timestamptz) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select (to_jsonb(p_time at time zone 'UTC') #>> '{}') || 'Z'
$$;

comment on function booking.iso_time(timestamptz) is
  'The instant in ISO 8601, UTC: 2026-03-02T07:00:00Z.';

-- sql/20_calculator/busy_time.sql

drop function booking.busy_time;

-- What takes people's time: the claims of live appointments and the busy times that touch a period.
-- Holds are not among them: they expire by the clock, which is not the calculator's business.
-- Reads only; refuses nothing.
--
-- Here and in the functions that use it the plan is made once, perhaps while tables are empty, and
-- must hold when they are not: no sequential scans, and no JIT, which a plan's cost would start.
create or replace function booking.busy_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_period tstzrange,
  p_without_appointment_id uuid default null
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
  where a.status <> 'cancelled' and a.id is distinct from p_without_appointment_id
  union all
  select b.staff_id, tstzrange(b.start_time, b.end_time), null, null, null, false
  from people p
  join booking.busy_times b
    on b.tenant_id = p_tenant_id and b.staff_id = p.staff_id
    and tstzrange(b.start_time, b.end_time) && p_period;
end
$$;

comment on function booking.busy_time(uuid, uuid[], tstzrange, uuid) is
  'Claims of live appointments (without one that is about to move) and busy times of these people
that overlap a period.';

-- sql/20_calculator/calculate_slot.sql

drop function booking.calculate_slot;

-- One start, on the grid or off it, as the calculator sees it: no row where nobody works, where it
-- does not fit, or where tenant, person, place or type is inactive (rules 1 and 3); is_on_grid
-- says rule 2, is_available rules 4 and 5, is_bookable rule 6 by the clock of now. Reserving asks
-- for all of them, booking what is held for rules 1, 3 and 4 (promise P3).
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
  select s.end_time, s.claim, s.capacity, s.booked, s.is_on_grid, s.is_available,
    coalesce(s.bookable_from <= v_now, true) and v_now < s.bookable_until
      and (p_start_time at time zone v_zone)::date
        <= (v_now at time zone v_zone)::date + v_horizon_days
  from booking.calculate_slots(
    p_tenant_id, array[p_staff_id],
    (p_start_time at time zone v_zone)::date, (p_start_time at time zone v_zone)::date,
    p_start_time, p_without_appointment_id
  ) s
  where s.location_id = p_location_id and s.shape_id = p_shape_id
    and s.start_time = p_start_time
  order by s.is_on_grid desc
  limit 1;
end
$$;

comment on function booking.calculate_slot(uuid, uuid, uuid, uuid, timestamptz, uuid) is
  'What the calculator says of one start: no row (rules 1 and 3), is_on_grid (2), is_available (4,
5), is_bookable now (6). Design, section 4.';

-- sql/20_calculator/calculate_slots.sql

drop function booking.calculate_slots;

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
-- Whoever wants to know of one start, on the grid or not, names it (p_asked_start): then it is
-- among the results, with is_on_grid false where rule 2 does not offer it.
-- p_without_appointment_id is one that is about to move and frees its own time first. Both are
-- calculate_slot's business.
--
-- One pass over a person's busy time: each piece of working time carries what is busy around it as
-- one multirange, which each of its candidates asks.
create or replace function booking.calculate_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_asked_start timestamptz default null,
  p_without_appointment_id uuid default null
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
      p_tenant_id, v_staff_ids, tstzrange(v_busy_from, v_busy_until), p_without_appointment_id
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

    -- Gapless: anew wherever something ends. A class does not move its own grid.
    select g.piece, g.shape_id, g.origin,
      lead(g.origin, 1, g.ends_at) over (partition by g.piece, g.shape_id order by g.origin),
      true
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
  series as materialized (
    select
      c.staff_id, c.location_id, c.zone, o.shape_id, o.is_group, o.capacity, o.duration_minutes,
      o.duration, o.buffer_before, o.buffer_after, o.notice, o.max_advance_days,
      o.step,
      c.first_start, c.end_of_starts, pb.busy, pb.busy_elsewhere,
      g.origin,
      least(g.until - interval '1 microsecond', c.run_ends_at - o.duration) as last_start,
      c.has_overlaps or o.is_group as may_repeat, g.is_on_grid
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
      order by s.staff_id, s.location_id, s.shape_id, start, s.is_on_grid desc
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
    s.start - s.notice,
    s.is_on_grid
  from slots s
  left join attended a
    on a.staff_id = s.staff_id and a.location_id = s.location_id
    and a.shape_id = s.shape_id and a.start_time = s.start;
end
$$;

comment on function booking.calculate_slots(uuid, uuid[], date, date, timestamptz, uuid) is
  'Every slot of the grid of these people (null: all) for the local dates p_from to p_to, inclusive,
with its availability by the rules of the design, section 4. Holds and the clock are not asked.';

-- sql/20_calculator/expected_slots.sql

drop function booking.expected_slots;

-- What availability_slots must hold for these people and local dates: the calculator's grid, from
-- the location's today to the calendar's materialized_until; the slots that a live appointment or
-- a hold names though the grid has them no more (never available, or they would be published when
-- the hold expires); and the hold columns, which say what slot_reservations says. refresh_slots
-- writes it, find_differences compares with it. Reads only, locks nothing, refuses nothing.
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
  p_grid_stands boolean default false
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
    select s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes,
      s.claim, s.capacity, s.is_available, s.bookable_from, s.bookable_until
    from booking.calculate_slots(p_tenant_id, p_staff_ids, v_from, v_to) s
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
    select g.* from grid g
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

comment on function booking.expected_slots(uuid, uuid[], date, date, boolean) is
  'What availability_slots must hold for these people and local dates (null: no bound), hold columns
included; nothing before a location''s today or after a calendar''s materialized_until.';

-- sql/20_calculator/explain_slot.sql

-- Why one start can or cannot be booked for an appointment type: each rule of the calculator in
-- order, with its verdict, a sentence for whoever manages the calendar, and the rows that decided.
-- passed is null where another rule leaves nothing to ask.
--
-- Verdicts are the calculator's: of working time (rules 1 and 3) by working_time, of the rest by
-- calculate_slot; what is looked up here is the evidence, and for a start that has no row there
-- (rules 1 or 3 failed, or something is inactive) the verdicts of rules 4 and 6 by the same
-- conditions. That they agree on every candidate is a property test. Holds are no rule of the
-- calculator but the last word on reserving. Reads only, refuses nothing.
create or replace function booking.explain_slot(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_type_id uuid,
  p_at timestamptz
) returns table (rule text, passed boolean, message text, evidence jsonb)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_tenant booking.tenants;
  v_person booking.staff;
  v_place booking.locations;
  v_type booking.appointment_types;
  v_shape booking.slot_shapes;
  v_offers boolean;
  v_state record;
  v_zone text;
  v_date date;
  v_end timestamptz;
  v_claim tstzrange;
  v_slot_id uuid;
  v_capacity integer;
  v_booked integer;
  v_piece tstzrange;
  v_run_ends_at timestamptz;
  v_hours text;
  v_is_cut boolean;
  v_held_until timestamptz;
  v_bookable_from timestamptz;
  v_bookable_until timestamptz;
  v_last_date date;
begin
  select t.* into v_tenant from booking.tenants t where t.id = p_tenant_id;
  select s.* into v_person
  from booking.staff s where s.tenant_id = p_tenant_id and s.id = p_staff_id;
  select l.* into v_place
  from booking.locations l where l.tenant_id = p_tenant_id and l.id = p_location_id;
  select y.* into v_type
  from booking.appointment_types y where y.tenant_id = p_tenant_id and y.id = p_type_id;
  select sh.* into v_shape
  from booking.slot_shapes sh where sh.tenant_id = p_tenant_id and sh.id = v_type.shape_id;
  select s.* into v_state
  from booking.calculate_slot(p_tenant_id, p_staff_id, p_location_id, v_shape.id, p_at) s;

  v_offers := exists (
    select
    from booking.staff_appointment_types o
    where o.tenant_id = p_tenant_id and o.staff_id = p_staff_id
      and o.appointment_type_id = p_type_id
  );
  v_zone := coalesce(v_place.timezone, v_tenant.timezone);
  v_date := (p_at at time zone v_zone)::date;
  v_end := p_at + v_shape.duration_minutes * interval '1 minute';
  v_claim := booking.claim_of(
    p_at, v_end, v_shape.buffer_before_minutes, v_shape.buffer_after_minutes
  );
  v_slot_id := booking.slot_id(p_tenant_id, p_staff_id, p_location_id, p_at, v_shape.id);
  v_capacity := case when v_shape.is_group then v_type.capacity else 1 end;
  v_booked := (
    select count(*)
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.slot_id = v_slot_id and a.status <> 'cancelled'
  );

  rule := 'active';
  select
    count(*) = 0,
    coalesce(
      string_agg(x.sentence, ' ' order by x.number),
      format('%s offers %s.', v_person.display_name, v_type.name)
    ),
    coalesce(
      jsonb_agg(jsonb_build_object('table', x.source, 'id', x.id) order by x.number), '[]'
    )
  into passed, message, evidence
  from (
    values
      (1, v_tenant.is_active, 'tenants', v_tenant.id, format('%s is inactive.', v_tenant.name)),
      (2, v_person.is_active, 'staff', v_person.id,
        format('%s is inactive.', v_person.display_name)),
      (3, v_place.is_active, 'locations', v_place.id, format('%s is inactive.', v_place.name)),
      (4, v_type.is_active, 'appointment_types', v_type.id,
        format('%s is inactive.', v_type.name)),
      (5, v_offers, 'appointment_types', v_type.id,
        format('%s does not offer %s.', v_person.display_name, v_type.name))
  ) as x(number, is_so, source, id, sentence)
  where not x.is_so;
  return next;

  -- Rule 1, and what rule 3 needs of it.
  with pieces as materialized (
    select tstzrange(w.starts_at, w.ends_at) as period, w.local_date
    from booking.working_time(p_tenant_id, array[p_staff_id], v_date - 2, v_date + 2) w
    where w.location_id = p_location_id
  )
  select
    (select p.period from pieces p where p.period @> p_at order by p.period limit 1),
    (
      select upper(run.period)
      from (select unnest(range_agg(p.period)) as period from pieces p) as run
      where run.period @> p_at
    ),
    (
      select string_agg(
        to_char(lower(p.period) at time zone v_zone, 'HH24:MI') || ' to '
          || to_char(upper(p.period) at time zone v_zone, 'HH24:MI'), ', ' order by p.period
      )
      from pieces p where p.local_date = v_date
    )
  into v_piece, v_run_ends_at, v_hours;

  rule := 'working_time';
  passed := v_run_ends_at is not null;
  -- What decided: the rows that open the time; else what was cut from it, and what took the place
  -- of the weekly hours that day.
  select
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'table', r.source, 'id', r.id, 'starts_at', booking.iso_time(r.starts_at),
          'ends_at', booking.iso_time(r.ends_at), 'note', r.note
        )
        order by r.is_cut desc, r.starts_at, r.id
      ) filter (where case
        when passed then r.covers and not r.is_cut
        when r.is_cut then r.covers
        else r.source = 'schedule_exceptions' and r.local_date = v_date
      end),
      '[]'
    ),
    coalesce(
      bool_or(r.covers and r.is_cut) and bool_or(r.covers and not r.is_cut), false
    )
  into evidence, v_is_cut
  from booking.schedule_rows(p_tenant_id, p_staff_id, p_location_id, p_at) r;
  message := case
    when passed then format(
      '%s works at %s: %s.', v_person.display_name, v_place.name,
      booking.period_text(lower(v_piece), upper(v_piece), v_zone)
    )
    when v_is_cut then format(
      '%s: %s%s.',
      case evidence #>> '{0,table}' when 'breaks' then 'Break' else 'Closed' end,
      booking.period_text(
        (evidence #>> '{0,starts_at}')::timestamptz, (evidence #>> '{0,ends_at}')::timestamptz,
        v_zone
      ),
      coalesce(' (' || nullif(btrim(evidence #>> '{0,note}'), '') || ')', '')
    )
    else format(
      '%s does not work at %s then. Working time that day: %s.',
      v_person.display_name, v_place.name, coalesce(v_hours, 'none')
    )
  end;
  return next;

  rule := 'starts';
  passed := v_state.is_on_grid;
  evidence := '[]';
  if passed is null then
    message := 'Not asked, because of another rule.';
  elsif passed and v_shape.is_group and v_booked > 0 then
    message := 'Others come to this class, so it keeps its time.';
  else
    message := format(
      'Starts are %s min apart, counted from %s. ', v_shape.step_minutes,
      case v_tenant.slot_alignment
        when 'window' then 'each beginning of working time'
        when 'clock' then 'midnight'
        else 'each beginning of working time and each end of an appointment or a busy time'
      end
    );
    if passed then
      message := message || 'This is one.';
    else
      select message || coalesce(
        'This is none; the nearest: ' || nullif(concat_ws(
          ' and ',
          booking.local_text(max(s.start_time) filter (where s.start_time < p_at), v_zone),
          booking.local_text(min(s.start_time) filter (where s.start_time > p_at), v_zone)
        ), '') || '.',
        'There is none that day.'
      )
      into message
      from booking.calculate_slots(p_tenant_id, array[p_staff_id], v_date, v_date) s
      where s.location_id = p_location_id and s.shape_id = v_shape.id;
    end if;
  end if;
  return next;

  rule := 'fit';
  passed := v_end <= v_run_ends_at;
  evidence := '[]';
  if passed is null then
    message := 'Not asked, because it is no working time.';
  elsif passed then
    message := format('It ends %s, in working time.', booking.local_text(v_end, v_zone));
  else
    message := format(
      'It would end %s, but working time ends %s.', booking.local_text(v_end, v_zone),
      booking.local_text(v_run_ends_at, v_zone)
    );
    select coalesce(jsonb_agg(jsonb_build_object(
      'table', r.source, 'id', r.id, 'starts_at', booking.iso_time(r.starts_at),
      'ends_at', booking.iso_time(r.ends_at), 'note', r.note
    ) order by r.starts_at, r.id), '[]')
    into evidence
    from booking.schedule_rows(p_tenant_id, p_staff_id, p_location_id, p_at) r
    where case
      when r.is_cut then r.starts_at <= v_run_ends_at and r.ends_at > v_run_ends_at
      else r.ends_at = v_run_ends_at
    end;
  end if;
  return next;

  -- Rule 4: a class ignores its own attendees, unless they fill it.
  rule := 'free';
  select coalesce(jsonb_agg(jsonb_build_object(
    'table', x.source, 'id', x.id, 'starts_at', booking.iso_time(lower(x.period)),
    'ends_at', booking.iso_time(upper(x.period))
  ) order by lower(x.period), x.id), '[]')
  into evidence
  from (
    select 'appointments' as source, a.id, a.claim as period
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.claim && v_claim
      and a.status <> 'cancelled'
      and (a.slot_id is distinct from v_slot_id or v_booked >= v_capacity)
    union all
    select 'busy_times', t.id, tstzrange(t.start_time, t.end_time)
    from booking.busy_times t
    where t.tenant_id = p_tenant_id and t.staff_id = p_staff_id
      and tstzrange(t.start_time, t.end_time) && v_claim
  ) as x;
  passed := coalesce(v_state.is_available, evidence = '[]');
  message := case
    when v_shape.is_group and v_booked >= v_capacity
    then format('All %s places are taken.', v_capacity)
    when evidence <> '[]' then format(
      '%s: %s%s.',
      case evidence #>> '{0,table}'
        when 'appointments' then 'Another appointment, buffers included' else 'Busy'
      end,
      booking.period_text(
        (evidence #>> '{0,starts_at}')::timestamptz, (evidence #>> '{0,ends_at}')::timestamptz,
        v_zone
      ),
      case when jsonb_array_length(evidence) > 1
        then format(', and %s more', jsonb_array_length(evidence) - 1) else '' end
    )
    when v_shape.is_group then format('%s of %s places are taken.', v_booked, v_capacity)
    else format(
      'Nothing else, buffers included: %s.',
      booking.period_text(lower(v_claim), upper(v_claim), v_zone)
    )
  end;
  return next;

  rule := 'bookable';
  v_bookable_until := p_at - v_shape.min_notice_minutes * interval '1 minute';
  v_bookable_from := p_at - v_shape.max_advance_days * interval '24 hours';
  v_last_date := (v_now at time zone v_zone)::date + v_tenant.booking_horizon_days;
  evidence := jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
    'now', booking.iso_time(v_now),
    'bookable_from', booking.iso_time(v_bookable_from),
    'bookable_until', booking.iso_time(v_bookable_until),
    'last_date', v_last_date
  )));
  passed := coalesce(
    v_state.is_bookable,
    coalesce(v_bookable_from <= v_now, true) and v_now < v_bookable_until
      and v_date <= v_last_date
  );
  message := case
    when v_now >= v_bookable_until and v_shape.min_notice_minutes > 0 then format(
      'Too late: it had to be booked before %s, %s min ahead.',
      booking.local_text(v_bookable_until, v_zone), v_shape.min_notice_minutes
    )
    when v_now >= v_bookable_until then format(
      'Too late: it had to be booked before %s.', booking.local_text(v_bookable_until, v_zone)
    )
    when v_date > v_last_date then format(
      'Too early: bookings are taken up to %s, %s days ahead.',
      to_char(v_last_date, 'Dy FMDD Mon YYYY'), v_tenant.booking_horizon_days
    )
    when v_bookable_from > v_now then format(
      'Too early: it can be booked from %s on, %s days ahead.',
      booking.local_text(v_bookable_from, v_zone), v_shape.max_advance_days
    )
    else format('It can be booked before %s.', booking.local_text(v_bookable_until, v_zone))
  end;
  return next;

  -- Until when holds of other slots and, where they and attendees fill it, its own leave no place;
  -- as availability_slots.reserved_until (expected_slots).
  rule := 'not_held';
  with holds as materialized (
    select h.id, h.claim, h.expires_at, h.slot_id = v_slot_id as is_own,
      row_number() over (partition by h.slot_id = v_slot_id order by h.expires_at) as place,
      count(*) over (partition by h.slot_id = v_slot_id) as places
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.claim && v_claim
      and h.expires_at > v_now
  ),
  barring as (
    select h.*
    from holds h
    where not h.is_own
      or (h.places + v_booked >= v_capacity and h.place <= h.places + v_booked - v_capacity + 1)
  )
  select max(b.expires_at), coalesce(jsonb_agg(jsonb_build_object(
    'table', 'slot_reservations', 'id', b.id, 'starts_at', booking.iso_time(lower(b.claim)),
    'ends_at', booking.iso_time(upper(b.claim))
  ) order by lower(b.claim), b.id), '[]')
  into v_held_until, evidence
  from barring b;
  passed := v_held_until is null;
  message := case
    when passed then 'Nobody is booking it right now.'
    else format(
      'Somebody is booking it right now and holds it until %s.',
      booking.local_text(v_held_until, v_zone)
    )
  end;
  return next;
end
$$;

comment on function booking.explain_slot(uuid, uuid, uuid, uuid, timestamptz) is
  'Each rule of the design, section 4, for one start: passed (null: not asked), a sentence, and the
rows that decided.';

-- sql/20_calculator/published_bounds.sql

drop function booking.published_bounds;

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

-- sql/30_slots/find_open_slots.sql

drop function booking.find_open_slots;

-- Published slots that can be booked now, of active people at active places, by start and id: the
-- predicate of the public view (60_policies/availability_slots.sql, 70_api/availability_slots.sql),
-- for functions that run as the owner. Null arguments do not filter. p_first_date to p_last_date
-- are local dates of each slot's place (null: no bound); p_after_start and p_after_id are the last
-- slot of the page before.
--
-- One scan of the index by tenant (and person) and start, which stops after p_limit; planned anew
-- each time, because which index that is depends on what is asked. Reads only, refuses nothing.
create or replace function booking.find_open_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_id uuid,
  p_shape_ids uuid[],
  p_first_date date,
  p_last_date date,
  p_after_start timestamptz,
  p_after_id uuid,
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
set plan_cache_mode = force_custom_plan
-- Few rows are expected of the joins, many come: without this the planner sorts them all.
set enable_sort = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_from timestamptz;
  v_until timestamptz;
  v_staff_id uuid := case when cardinality(p_staff_ids) = 1 then p_staff_ids[1] end;
begin
  -- Constants for the index; each place's own bounds are asked of the rows that it finds.
  select greatest(v_now, p_after_start, min(booking.first_instant(p_first_date, z.zone))),
    coalesce(max(booking.first_instant(p_last_date + 1, z.zone)), 'infinity')
  into v_from, v_until
  from booking.locations l
  join booking.tenants t on t.id = l.tenant_id
  cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
  where l.tenant_id = p_tenant_id;

  return query
  select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
    s.duration_minutes, greatest(s.seats_left, 1)
  from booking.availability_slots s
  join booking.staff p on p.tenant_id = s.tenant_id and p.id = s.staff_id
  join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
  join booking.tenants t on t.id = s.tenant_id
  where s.tenant_id = p_tenant_id
    and (v_staff_id is null or s.staff_id = v_staff_id)
    and (p_staff_ids is null or s.staff_id = any (p_staff_ids))
    and (p_location_id is null or s.location_id = p_location_id)
    and (p_shape_ids is null or s.shape_id = any (p_shape_ids))
    and s.start_time >= v_from and s.start_time < v_until
    and (p_after_id is null or (s.start_time, s.id) > (p_after_start, p_after_id))
    and s.is_available
    and s.bookable_until > v_now
    and (s.bookable_from is null or s.bookable_from <= v_now)
    and (s.reserved_until is null or s.reserved_until <= v_now)
    and t.is_active and p.is_active and l.is_active
    and (
      p_first_date is null
      or (s.start_time at time zone coalesce(l.timezone, t.timezone))::date
        between p_first_date and p_last_date
    )
  order by s.start_time, s.id
  limit p_limit;
end
$$;

comment on function booking.find_open_slots(
  uuid, uuid[], uuid, uuid[], date, date, timestamptz, uuid, integer
) is
  'Up to p_limit slots of a tenant that can be booked now, by start_time and id.';

-- sql/30_slots/lock_calendars.sql

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

-- sql/30_slots/refresh_around.sql

-- Refreshes the local dates on which these claims or busy times can make a difference: their own,
-- in every zone the tenant works in, widened by the longest claim and the longest travel time (a
-- slot that overlaps them may begin that much earlier), and one day more on either side, because
-- overnight pieces of working time hang their grid on the date before. Where only holds have
-- changed (p_grid_stands) no grid moves, and the dates that they overlap are enough. Locks those
-- calendars.
create or replace function booking.refresh_around(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_periods tstzrange[],
  p_grid_stands boolean default false
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
  v_more_days integer := case when p_grid_stands then 0 else 1 end;
  v_dates daterange[];
begin
  select array_agg((
    select daterange(
      min(((lower(p.period) - v_reach) at time zone z.zone)::date) - v_more_days,
      max(((upper(p.period) + v_reach) at time zone z.zone)::date) + v_more_days,
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

  perform booking.refresh_dates(p_tenant_id, p_staff_ids, v_dates, p_grid_stands);
end
$$;

comment on function booking.refresh_around(uuid, uuid[], tstzrange[], boolean) is
  'Refreshes p_staff_ids[i] around p_periods[i]; a person may occur several times.';

-- sql/30_slots/refresh_dates.sql

-- Refreshes different local dates of different people of one tenant: what a statement changed, one
-- recalculation per stretch of dates, or one for all where that would be many (a bulk load is one
-- set-based pass). Locks those calendars, in staff_id order.
create or replace function booking.refresh_dates(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_dates daterange[],
  p_grid_stands boolean default false
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
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1, p_grid_stands
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
    perform booking.refresh_slots(
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1, p_grid_stands
    );
  end loop;
end
$$;

comment on function booking.refresh_dates(uuid, uuid[], daterange[], boolean) is
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
-- p_grid_stands: only holds have changed (see expected_slots).
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
    from booking.expected_slots(p_tenant_id, v_staff_ids, p_from, p_to, p_grid_stands) e
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

comment on function booking.refresh_slots(uuid, uuid[], date, date, boolean) is
  'Makes availability_slots of these people (null: all) equal to what the calculator says, for the
local dates p_from to p_to that are published, and returns how many rows that took.';

-- sql/40_booking/answer.sql

drop function booking.answer;

-- The frame around every function that only reads. The functions in "api" call it with their own
-- name and their arguments; it counts the call, lets the worker of that name look, makes an answer
-- of what it says or refuses, and tells edges and browsers how long it keeps.
--
-- Anonymous lists may be kept at edges for the tenant's cache_seconds; browsers ask again each time
-- and are told 304 where nothing has changed. The ETag is a hash of the body.
--
-- Runs as the owner because callers may not read what decides (bookable_from, holds, is_active);
-- each worker asks who is calling where not everyone may know. Locks nothing but the client's row
-- of rate_limits, where the transaction may write. Leaves no audit row: nothing was attempted.
create or replace function booking.answer(p_function text, p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_seconds integer := booking.seconds_to_wait('read');
  v_answer jsonb;
  v_code text;
  v_message text;
  v_details text;
  v_hint text;
  v_cache_control text;
  v_etag text;
begin
  if v_seconds > 0 then
    return booking.refuse_calls(v_seconds);
  end if;

  begin
    case p_function
      when 'get_tenant' then
        v_answer := booking.get_tenant(p_request);
      when 'get_available_slots' then
        v_answer := booking.get_available_slots(p_request);
      when 'get_next_available' then
        v_answer := booking.get_next_available(p_request);
      when 'get_reservations' then
        v_answer := booking.get_reservations(p_request);
      when 'explain_availability' then
        v_answer := booking.explain_availability(p_request);
    end case;
  exception
    when sqlstate 'PB001' then
      get stacked diagnostics
        v_code = constraint_name,
        v_message = message_text,
        v_details = pg_exception_detail,
        v_hint = pg_exception_hint;
      return booking.refusal(v_code, v_message, v_details, v_hint);
    when query_canceled or lock_not_available then
      -- Out of time: an error would take the count back.
      return booking.refusal(
        'busy', 'This takes too long at the moment.', null, 'Ask for less, or try again.', 1
      );
  end;

  v_answer := jsonb_build_object('success', true) || v_answer;
  if current_setting('request.method', true) in ('GET', 'HEAD') then
    v_cache_control := booking.cache_control((
      select t.cache_seconds
      from booking.tenants t
      where t.id = coalesce(p_request ->> 'tenant_id', v_answer ->> 'id')::uuid
    ));
    v_etag := format('"%s"', md5(v_answer::text));
    perform set_config('response.headers', jsonb_build_array(
      jsonb_build_object('Cache-Control', v_cache_control),
      jsonb_build_object('ETag', v_etag)
    )::text, true);

    if strpos(
      nullif(current_setting('request.headers', true), '')::jsonb ->> 'if-none-match', v_etag
    ) > 0 then
      perform set_config('response.status', '304', true);
      return null;
    end if;
  end if;
  return v_answer;
end
$$;

comment on function booking.answer(text, jsonb) is
  'Answers the reading function of that name in "api": {"success": true, …} or a refusal, with
Cache-Control and ETag; null and status 304 where the caller has that already.';

-- sql/40_booking/attempt.sql

-- The frame around every function that changes what is booked or held. The functions in "api" call
-- it with their own name and their arguments; it finds what they are about, lets the worker of that
-- name do the work in a subtransaction, and afterwards, whatever became of it, writes the one audit
-- row and sets the HTTP status.
--
--   refused         (PB001, raised anywhere below)   what was done is taken back; the code is told
--   no lock in 2 s  (55P03), an old snapshot (40001)  busy
--   out of time     (57014), waiting in several queues busy
--   deadlock        (40P01)                           once more, then busy
--   unique          (23505)                           once more: an equal request was faster
--   overlap         (23P01), row gone (23503)         slot_taken or appointment_conflict, without
--                                                     the detail, which shows the other's time
--
-- Any other error is a fault and passes through. A refusal is an answer and not an error because an
-- error would take its own audit row with it. Locks, in this order: the session (reserving only) or
-- the appointment's row, then calendars by staff_id. The lock timeout lies below the statement
-- timeouts that callers have (Supabase: 3 s for anon): waiting in vain is on record, too. It
-- counts anew for each wait, so running out of time, which comes once, is caught as well.
--
-- Calls are counted before anything else; what is too many is refused and leaves no audit row, or a
-- flood would fill the disk. The count is kept whatever becomes of the call.
--
-- Runs as the owner because callers may touch no table. Who they are, token claims say; each worker
-- asks before it does anything. Read-only transactions (GET) fail with 25006 at once: secrets must
-- not stand in an address, and which write fails first would tell what is free.
create or replace function booking.attempt(p_action text, p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  c_unknown_tenant constant uuid := uuid '00000000-0000-0000-0000-000000000000';
  v_request jsonb := p_request;
  v_session_hash bytea := sha256(convert_to(p_request ->> 'session_id', 'UTF8'));
  v_appointment booking.appointments;
  v_slot booking.availability_slots;
  v_tenant_id uuid;
  v_seconds integer;
  v_answer jsonb;
  v_code text;
  v_message text;
  v_details text;
  v_hint text;
begin
  if current_setting('transaction_read_only') = 'on' then
    raise exception using
      errcode = 'read_only_sql_transaction',
      message = format('%s is for POST: it changes something', p_action);
  end if;

  v_seconds := booking.seconds_to_wait(p_action);
  if v_seconds > 0 then
    return booking.refuse_calls(v_seconds);
  end if;

  v_appointment := booking.find_appointment(v_request);
  if v_appointment.tenant_id is not null then
    v_request := v_request || jsonb_build_object('tenant_id', v_appointment.tenant_id);
  end if;
  v_slot := booking.find_slot(v_request, v_session_hash);

  -- A member's own tenant is known without an appointment or slot; a stranger's word is not.
  v_tenant_id := coalesce(
    v_appointment.tenant_id, v_slot.tenant_id,
    case
      when booking.caller_is_member((v_request ->> 'tenant_id')::uuid)
      then (v_request ->> 'tenant_id')::uuid
    end
  );

  -- Tells the triggers that this is no direct write.
  perform set_config('booking.is_audited', 'on', true);

  for v_try in 1..2 loop
    v_code := null;
    begin
      case p_action
        when 'reserve_slot' then
          v_answer := booking.reserve_slot(v_slot, v_session_hash, v_request);
        when 'release_slot' then
          v_answer := booking.release_slot(v_slot, v_session_hash, v_request);
        when 'create_appointment' then
          v_answer := booking.create_appointment(v_slot, v_session_hash, v_request);
        when 'reschedule_appointment' then
          v_answer := booking.reschedule_appointment(
            v_appointment, v_slot, v_session_hash, v_request
          );
        when 'cancel_appointment' then
          v_answer := booking.cancel_appointment(v_appointment, v_request);
        when 'record_payment' then
          v_answer := booking.record_payment(v_appointment, v_request);
        when 'set_working_hours' then
          v_answer := booking.set_working_hours(v_request);
        when 'recalculate_availability' then
          v_answer := booking.recalculate_availability(v_request);
      end case;
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics
          v_code = constraint_name,
          v_message = message_text,
          v_details = pg_exception_detail,
          v_hint = pg_exception_hint;
        exit;
      when lock_not_available or serialization_failure or query_canceled then
        v_code := 'busy';
        exit;
      when deadlock_detected then
        v_code := 'busy';
        -- Whoever waited for us has our locks now, once it has woken up to take them.
        perform pg_sleep(0.1);
      when unique_violation or exclusion_violation or foreign_key_violation then
        v_code := case p_action
          when 'reserve_slot' then 'slot_taken'
          when 'reschedule_appointment' then 'slot_taken'
          when 'create_appointment' then 'appointment_conflict'
        end;
        if v_code is null then
          raise;
        end if;
    end;
  end loop;

  perform set_config('booking.is_audited', '', true);

  if v_code is null then
    if v_slot.tenant_id is null and v_appointment.tenant_id is null then
      -- A booking that was replayed long after.
      v_appointment := booking.find_appointment(v_request || v_answer);
    end if;
    v_answer := jsonb_build_object('success', true) || v_answer;
  else
    v_answer := booking.refusal(
      v_code,
      coalesce(v_message, case v_code
        when 'busy' then 'Too many people are booking here at this moment.'
        when 'slot_taken' then 'This time is no longer available.'
        else 'This time can no longer be booked.'
      end),
      v_details,
      coalesce(v_hint, case v_code
        when 'busy' then 'Try again in a second.'
        else 'Choose another time.'
      end),
      case v_code when 'busy' then 1 end
    );
  end if;

  insert into booking.audit_log (
    tenant_id, action, outcome, code, actor_id, actor_role, session_hash, address_hash, slot_id,
    appointment_id, staff_id
  )
  values (
    coalesce(v_tenant_id, v_appointment.tenant_id, c_unknown_tenant), p_action,
    case when v_code is null then 'success' else 'refused' end, v_code,
    booking.caller_id(), coalesce(booking.caller_role(), session_user), v_session_hash,
    booking.address_hash(), (p_request ->> 'slot_id')::uuid,
    coalesce(p_request ->> 'appointment_id', v_answer ->> 'appointment_id')::uuid,
    coalesce(
      v_slot.staff_id, v_appointment.staff_id,
      case when v_tenant_id is not null then (v_request ->> 'staff_id')::uuid end
    )
  );
  return v_answer;
end
$$;

comment on function booking.attempt(text, jsonb) is
  'Does what the function of that name in "api" promises: {"success": true, …}, or a refusal with
code, message, details and hint and response.status set. Leaves one row in audit_log.';

-- sql/40_booking/create_appointment.sql

-- Books what the caller holds. The hold must be theirs (by session, or of the signed-in customer)
-- and alive; the calculator is asked again for rules 1, 3 and 4, and the hold keeps what 2, 5 and
-- 6 had granted (promise P3). Hold out, appointment in, slots recalculated by their triggers: one
-- step.
--
-- An idempotency_key, per tenant and caller: the same request again gets the same appointment and a
-- new manage_token in place of the old (it is kept as SHA-256 only); another one is refused. Two at
-- once: the second waits for the first at the calendar, or at the key's index, and then replays.
--
-- Where the service costs something and wants payment first, the appointment is pending until
-- payment_due_at, and takes its time all the same.
--
-- Locks the calendar, and of a replay only the appointment's row. Refuses: not_authenticated,
-- invalid_request, slot_not_found, reservation_expired, appointment_conflict, idempotency_conflict.
create or replace function booking.create_appointment(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_is_service boolean := coalesce(booking.caller_role() = 'service_role', false);
  v_caller_id uuid := booking.caller_id();
  v_tenant_id uuid := coalesce(p_slot.tenant_id, (p_request ->> 'tenant_id')::uuid);
  v_key text := p_request ->> 'idempotency_key';
  v_request_hash bytea := sha256(convert_to((p_request - 'tenant_id')::text, 'UTF8'));
  v_token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_token_hash bytea := sha256(convert_to(v_token, 'UTF8'));
  v_tenant booking.tenants;
  v_hold booking.slot_reservations;
  v_type booking.appointment_types;
  v_appointment booking.appointments;
  v_state record;
begin
  if v_caller_id is null and not v_is_service then
    perform booking.refuse(
      'not_authenticated', 'Nobody is signed in.', null,
      'Sign in; for guests the service books.'
    );
  end if;

  perform booking.check_customer(p_request -> 'user_data');
  perform booking.require_length('appointment_type', p_request ->> 'appointment_type', 1, 100);
  if v_is_service or p_request ->> 'session_id' is not null then
    perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  end if;
  perform booking.require_length('notes', p_request ->> 'notes', 0, 2000, true);
  if v_key is not null then
    perform booking.require_length('idempotency_key', v_key, 1, 255);
  end if;
  if not coalesce(booking.is_slot_id((p_request ->> 'slot_id')::uuid), false) then
    perform booking.refuse('slot_not_found', 'slot_id is not the id of a slot.');
  end if;

  if v_key is null or not booking.was_booked(v_tenant_id, v_key) then
    select h.* into v_hold
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
      and case
        when p_session_hash is null then h.customer_id = v_caller_id
        else h.session_hash = p_session_hash
      end
      and h.expires_at > booking.now()
    order by h.expires_at
    limit 1;
    -- Only who holds something makes others wait for the lock.
    if found then
      perform booking.lock_calendars(v_hold.tenant_id, array[v_hold.staff_id]);
    end if;
  end if;
  v_now := booking.now();

  if v_key is not null and booking.was_booked(v_tenant_id, v_key) then
    update booking.appointments a
    set manage_token_hash = v_token_hash
    where a.idempotency_key = v_key and a.customer_id is not distinct from v_caller_id
      and (v_tenant_id is null or a.tenant_id = v_tenant_id)
      and a.request_hash = v_request_hash
    returning a.* into v_appointment;
    if not found then
      perform booking.refuse(
        'idempotency_conflict', 'This idempotency_key has come with another request.', null,
        'Use a new key for each booking.'
      );
    end if;
    return booking.booked(v_appointment, v_token);
  end if;

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id and h.expires_at > v_now;
  if not found then
    perform booking.refuse(
      'reservation_expired', 'This slot is not held for you, or no longer.', null,
      'Reserve a slot, then book it.'
    );
  end if;

  v_type := booking.offered_type(
    v_hold.tenant_id, v_hold.staff_id, v_hold.shape_id, p_request ->> 'appointment_type', v_hold
  );

  select s.* into v_state
  from booking.calculate_slot(
    v_hold.tenant_id, v_hold.staff_id, v_hold.location_id, v_type.shape_id, v_hold.start_time
  ) s;
  if not coalesce(v_state.is_available, false) then
    perform booking.refuse_changed();
  end if;

  delete from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;

  select t.* into v_tenant from booking.tenants t where t.id = v_hold.tenant_id;
  if v_type.id is distinct from v_hold.appointment_type_id then
    v_hold.quoted_price_cents := v_type.price_cents;
    v_hold.currency := v_type.currency;
  end if;

  insert into booking.appointments (
    tenant_id, staff_id, location_id, appointment_type_id, shape_id, slot_id, seat, start_time,
    end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
    price_cents, currency, payment_status, payment_due_at, idempotency_key, request_hash,
    manage_token_hash, source
  )
  select
    v_hold.tenant_id, v_hold.staff_id, v_hold.location_id, v_type.id, v_hold.shape_id,
    v_hold.slot_id, v_hold.seat, v_hold.start_time, v_state.end_time, sh.buffer_before_minutes,
    sh.buffer_after_minutes,
    case when payment.is_due then 'pending' else 'confirmed' end,
    v_caller_id, p_request -> 'user_data', p_request ->> 'notes',
    v_hold.quoted_price_cents, v_hold.currency,
    case when payment.is_due then 'pending' else 'not_required' end,
    case when payment.is_due then v_now + v_tenant.payment_due_minutes * interval '1 minute' end,
    v_key, case when v_key is not null then v_request_hash end, v_token_hash, 'api'
  from booking.slot_shapes sh
  cross join lateral (
    select v_type.requires_payment and v_hold.quoted_price_cents > 0 as is_due
  ) as payment
  where sh.tenant_id = v_hold.tenant_id and sh.id = v_hold.shape_id
  returning * into v_appointment;

  return booking.booked(v_appointment, v_token);
end
$$;

comment on function booking.create_appointment(booking.availability_slots, bytea, jsonb) is
  'Worker of api.create_appointment: turns the caller''s hold into an appointment, or refuses.';

-- Whether this caller has booked with this key before; tenant null: wherever. Reads only.
create or replace function booking.was_booked(p_tenant_id uuid, p_key text) returns boolean
language sql volatile parallel unsafe
set search_path = ''
as $$
  select exists (
    select from booking.appointments a
    where a.idempotency_key = p_key and a.customer_id is not distinct from booking.caller_id()
      and (p_tenant_id is null or a.tenant_id = p_tenant_id)
  )
$$;

comment on function booking.was_booked(uuid, text) is
  'Whether the caller has booked in this tenant (null: in any) with this idempotency_key.';

-- What the customer gets to know. The token is shown here and never again.
create or replace function booking.booked(p_appointment booking.appointments, p_token text)
returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select jsonb_build_object(
    'appointment_id', p_appointment.id,
    'status', p_appointment.status,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'price_cents', p_appointment.price_cents,
    'currency', p_appointment.currency,
    'manage_token', p_token,
    'payment_required', payment.is_due,
    'payment_due_at', booking.iso_time(p_appointment.payment_due_at),
    'payment_url', case when payment.is_due then booking.payment_url(p_appointment) end
  )
  from (
    select p_appointment.status = 'pending'
      and p_appointment.payment_status in ('pending', 'failed') as is_due
  ) as payment
$$;

comment on function booking.booked(booking.appointments, text) is
  'The answer to a booking: the appointment and its manage_token.';

-- sql/40_booking/free_seat.sql

-- The seat to give out: the one that was asked for if it is free, else the lowest free one, else
-- null. As many live attendees and live holds as there are seats leave none, whatever their numbers
-- (a lowered capacity is never refilled past). Ask under the calendar's lock. Reads only.
create or replace function booking.free_seat(
  p_tenant_id uuid,
  p_slot_id uuid,
  p_capacity integer,
  p_asked_seat integer default null,
  p_without_appointment_id uuid default null
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_taken integer[] := array(
    select a.seat
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.slot_id = p_slot_id
      and a.status <> 'cancelled' and a.id is distinct from p_without_appointment_id
    union all
    select h.seat
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.slot_id = p_slot_id
      and h.expires_at > booking.now()
  );
begin
  if cardinality(v_taken) >= p_capacity then
    return null;
  end if;

  return (
    select s.seat
    from generate_series(1, p_capacity) as s(seat)
    where s.seat <> all (v_taken)
    order by s.seat is distinct from p_asked_seat, s.seat
    limit 1
  );
end
$$;

comment on function booking.free_seat(uuid, uuid, integer, integer, uuid) is
  'The asked seat of a slot if it is free, else the lowest free one; null where all are taken.';

-- sql/40_booking/get_available_slots.sql

drop function booking.get_available_slots;

-- The slots of some days, page by page: a page begins after the slot that its token names, so that
-- what is booked meanwhile moves nothing. Refuses: invalid_request, range_too_large, not_found.
-- Reads only, in the frame of booking.answer.
create or replace function booking.get_available_slots(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 62;
  c_most_results constant integer := 1000;
  v_limit integer := coalesce((p_request ->> 'max_results')::integer, c_most_results);
  v_token text := p_request ->> 'page_token';
  v_after_start timestamptz;
  v_after_id uuid;
begin
  perform booking.require_dates(
    (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date, c_most_days
  );
  perform booking.require_between('max_results', v_limit, 1, c_most_results);

  if v_token is not null then
    begin
      v_after_start := split_part(v_token, '_', 1)::timestamptz;
      v_after_id := split_part(v_token, '_', 2)::uuid;
    exception when data_exception then
      v_after_id := null;
    end;
    if v_after_id is null or booking.iso_time(v_after_start) || '_' || v_after_id <> v_token then
      perform booking.refuse('invalid_request', format(
        'page_token is "%s"; expected the next_page_token of an answer.', left(v_token, 100)
      ));
    end if;
  end if;
  return booking.list_slots(p_request, v_after_start, v_after_id, v_limit);
end
$$;

comment on function booking.get_available_slots(jsonb) is
  'Worker of api.get_available_slots: slots that can be booked now, of at most 62 days.';

-- sql/40_booking/get_next_available.sql

drop function booking.get_next_available;

-- The first free times from an instant on, over all people or one. Refuses: invalid_request,
-- not_found. Reads only, in the frame of booking.answer.
create or replace function booking.get_next_available(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_limit integer := coalesce((p_request ->> 'max_results')::integer, 5);
  v_from timestamptz := (p_request ->> 'from_time')::timestamptz;
begin
  perform booking.require_between('max_results', v_limit, 1, 100);
  perform booking.require_time('from_time', v_from);
  return booking.list_slots(p_request, v_from, null, v_limit) - 'next_page_token';
end
$$;

comment on function booking.get_next_available(jsonb) is
  'Worker of api.get_next_available: the first slots that can be booked now, by start_time.';

-- sql/40_booking/list_slots.sql

drop function booking.list_slots;

-- What get_available_slots and get_next_available have in common: which slots are asked for, and
-- how they are told. tenant_id, staff_id, location_id and appointment_type must name something
-- public (not_found, invalid_request); a duration that nothing has finds nothing. Days that have no
-- rows have no slots here. Reads only.
--
-- The answer is complete where it has no next_page_token; else that names the last slot told.
create or replace function booking.list_slots(
  p_request jsonb,
  p_after_start timestamptz,
  p_after_id uuid,
  p_limit integer
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_duration_minutes integer := (p_request ->> 'duration_minutes')::integer;
  v_code text := p_request ->> 'appointment_type';
  v_type booking.appointment_types;
  v_staff_ids uuid[] := array[v_staff_id];
  v_shape_ids uuid[];
  v_slots jsonb[];
begin
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_between('duration_minutes', v_duration_minutes, 1, 1440);
  if v_code is not null then
    perform booking.require_length('appointment_type', v_code, 1, 100);
  end if;

  perform from booking.tenants t where t.id = v_tenant_id and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;

  if v_staff_id is null then
    v_staff_ids := null;
  else
    perform
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = v_staff_id and s.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such person (staff_id).');
    end if;
  end if;

  if v_location_id is not null then
    perform
    from booking.locations l
    where l.tenant_id = v_tenant_id and l.id = v_location_id and l.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such place (location_id).');
    end if;
  end if;

  if v_code is not null then
    select y.* into v_type
    from booking.appointment_types y
    where y.tenant_id = v_tenant_id and y.code = v_code and y.is_active;
    if not found then
      perform booking.refuse('invalid_request', format(
        'appointment_type is "%s"; expected the code of one of this tenant''s services.', v_code
      ));
    end if;
    -- Others may offer the same shape as another service.
    v_staff_ids := array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = v_tenant_id and o.appointment_type_id = v_type.id
        and (v_staff_id is null or o.staff_id = v_staff_id)
    );
    v_shape_ids := array[v_type.shape_id];
  end if;
  if v_duration_minutes is not null then
    v_shape_ids := array(
      select sh.id
      from booking.slot_shapes sh
      where sh.tenant_id = v_tenant_id and sh.duration_minutes = v_duration_minutes
        and (v_type.id is null or sh.id = v_type.shape_id)
    );
  end if;

  if v_location_id is not null then
    v_staff_ids := array(
      select p.id
      from unnest(booking.people_at(v_tenant_id, array[v_location_id])) as p(id)
      where v_staff_ids is null or p.id = any (v_staff_ids)
    );
  end if;

  if cardinality(v_staff_ids) = 0 or cardinality(v_shape_ids) = 0 then
    return jsonb_build_object('slots', '[]'::jsonb);
  end if;

  -- One more than asked for tells whether there is a next page.
  v_slots := array(
    select jsonb_strip_nulls(jsonb_build_object(
      'id', s.id,
      'staff_id', s.staff_id,
      'start_time', booking.iso_time(s.start_time),
      'end_time', booking.iso_time(s.end_time),
      'duration_minutes', s.duration_minutes,
      'location_id', s.location_id,
      'seats_left', s.seats_left,
      'price_cents', v_type.price_cents,
      'currency', v_type.currency
    ))
    from booking.find_open_slots(
      v_tenant_id, v_staff_ids, v_location_id, v_shape_ids,
      (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date,
      p_after_start, p_after_id, p_limit + 1
    ) s
  );
  return jsonb_strip_nulls(jsonb_build_object(
    'slots', to_jsonb(v_slots[:p_limit]),
    'next_page_token', case
      when cardinality(v_slots) > p_limit
      then (v_slots[p_limit] ->> 'start_time') || '_' || (v_slots[p_limit] ->> 'id')
    end
  ));
end
$$;

comment on function booking.list_slots(jsonb, timestamptz, uuid, integer) is
  'The slots that a request asks for, after the given start and id, and next_page_token where there
are more than p_limit.';

-- sql/40_booking/offered_type.sql

-- Whether slots of two shapes take the same time; classes never share.
create or replace function booking.have_same_claims(
  p_tenant_id uuid,
  p_shape_id uuid,
  p_other_shape_id uuid
) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (
    select
    from booking.slot_shapes a
    join booking.slot_shapes b on b.tenant_id = a.tenant_id
    where a.tenant_id = p_tenant_id and a.id = p_shape_id and b.id = p_other_shape_id
      and not a.is_group and not b.is_group
      and a.duration_minutes = b.duration_minutes
      and a.buffer_before_minutes = b.buffer_before_minutes
      and a.buffer_after_minutes = b.buffer_after_minutes
  )
$$;

comment on function booking.have_same_claims(uuid, uuid, uuid) is
  'True for two single shapes of equal duration and buffers.';

-- sql/40_booking/release_unpaid_appointments.sql

-- Cancels appointments that were to be paid by payment_due_at and were not, and returns how many.
-- Their time is free again in the same transaction. Rows and calendars that someone else is writing
-- are skipped and left to the next call, so that no tenant waits for another's. One call does few.
create or replace function booking.release_unpaid_appointments(
  p_most_appointments integer default 20
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_appointment record;
  v_released integer := 0;
begin
  perform set_config('booking.is_audited', 'on', true);
  for v_appointment in
    select a.tenant_id, a.id, a.staff_id, a.slot_id
    from booking.appointments a
    join booking.calendars c on c.tenant_id = a.tenant_id and c.staff_id = a.staff_id
    where a.status = 'pending' and a.payment_due_at <= v_now and a.payment_status <> 'paid'
    order by a.tenant_id, a.staff_id, a.id
    limit p_most_appointments
    for no key update of a, c skip locked
  loop
    update booking.appointments a
    set status = 'cancelled', cancel_reason = 'not paid in time'
    where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id;

    insert into booking.audit_log (
      tenant_id, action, outcome, actor_role, slot_id, appointment_id, staff_id
    )
    values (
      v_appointment.tenant_id, 'release_unpaid_appointment', 'success', session_user,
      v_appointment.slot_id, v_appointment.id, v_appointment.staff_id
    );
    v_released := v_released + 1;
  end loop;
  perform set_config('booking.is_audited', '', true);
  return v_released;
end
$$;

comment on function booking.release_unpaid_appointments(integer) is
  'Cancels up to p_most_appointments pending appointments whose payment_due_at has passed; returns
how many.';

-- sql/40_booking/require_slot.sql

create or replace function booking.refuse_taken() returns void
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refuse(
    'slot_taken', 'This time is no longer available.', null, 'Choose another time.'
  )
$$;

comment on function booking.refuse_taken() is 'Refuses with slot_taken.';

-- sql/40_booking/reschedule_appointment.sql

-- Moves an appointment to another slot, atomically: its own time is free for the move, and is lost
-- only when the new one is won. The new slot may be held by the caller's session or simply free;
-- it must fit the appointment's service. Starts that the listing shows are taken as well as those
-- it would show without this appointment. Price, payment and manage_token stay.
--
-- Locks the appointment's row, then both calendars in staff_id order, then looks. Refuses:
-- not_authenticated, not_found, forbidden, invalid_request, slot_not_found, invalid_status,
-- too_late, slot_taken, appointment_conflict (held, but the calendar has changed since).
create or replace function booking.reschedule_appointment(
  p_appointment booking.appointments,
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_appointment booking.appointments;
  v_hold booking.slot_reservations;
  v_shape_id uuid;
  v_state record;
  v_seat integer;
begin
  if p_request ->> 'session_id' is not null then
    perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  end if;
  v_appointment := booking.lock_appointment(p_appointment, p_request);
  if v_appointment.slot_id = (p_request ->> 'slot_id')::uuid and v_appointment.status <> 'cancelled'
  then
    -- Moved before, and asked again.
    return booking.moved(v_appointment);
  end if;
  perform booking.require_slot(p_slot, p_request);
  -- Staff move between calendars that are theirs; customers to whoever offers the service.
  if booking.caller_may_write(v_appointment.tenant_id, v_appointment.staff_id)
    and not booking.caller_may_write(p_slot.tenant_id, p_slot.staff_id)
  then
    perform booking.refuse('forbidden', 'The new slot is in a colleague''s calendar.');
  end if;

  perform booking.lock_calendars(
    v_appointment.tenant_id, array[v_appointment.staff_id, p_slot.staff_id]
  );
  v_now := booking.now();
  perform booking.require_changeable(v_appointment);

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id and h.expires_at > v_now
    and case
      when p_session_hash is null then h.customer_id = booking.caller_id()
      else h.session_hash = p_session_hash
    end
  limit 1;

  -- A hold keeps its start where the service's step or notice, and so its shape, has changed since.
  select y.shape_id into v_shape_id
  from booking.appointment_types y
  join booking.staff_appointment_types o
    on o.tenant_id = y.tenant_id and o.appointment_type_id = y.id
  where y.tenant_id = v_appointment.tenant_id and y.id = v_appointment.appointment_type_id
    and o.staff_id = p_slot.staff_id
    and (
      y.shape_id = p_slot.shape_id
      or (
        v_hold.id is not null
        and booking.have_same_claims(y.tenant_id, y.shape_id, p_slot.shape_id)
      )
    );

  select s.* into v_state
  from booking.calculate_slot(
    p_slot.tenant_id, p_slot.staff_id, p_slot.location_id,
    coalesce(v_shape_id, p_slot.shape_id), p_slot.start_time, v_appointment.id
  ) s;

  if v_hold.id is not null and not coalesce(v_state.is_available, false) then
    perform booking.refuse_changed();
  end if;

  if v_hold.id is null and not coalesce(
    v_state.is_available and v_state.is_bookable and (v_state.is_on_grid or (
      select s.is_on_grid
      from booking.calculate_slot(
        p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
      ) s
    )), false
  ) then
    perform booking.refuse_taken();
  end if;

  delete from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;

  perform
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
    and h.claim && v_state.claim and h.slot_id <> p_slot.id and h.expires_at > v_now
    and not coalesce(
      h.session_hash = p_session_hash or h.customer_id = booking.caller_id(), false
    );
  if found then
    perform booking.refuse_taken();
  end if;

  v_seat := booking.free_seat(p_slot.tenant_id, p_slot.id, v_state.capacity, v_hold.seat);
  if v_seat is null then
    perform booking.refuse_taken();
  end if;

  if v_shape_id is null then
    perform booking.refuse(
      'invalid_request',
      'slot_id is a slot for another service; expected one for the appointment''s own.'
    );
  end if;

  update booking.appointments a
  set staff_id = p_slot.staff_id,
    location_id = p_slot.location_id,
    shape_id = p_slot.shape_id,
    slot_id = p_slot.id,
    seat = v_seat,
    start_time = p_slot.start_time,
    end_time = v_state.end_time,
    buffer_before_minutes = sh.buffer_before_minutes,
    buffer_after_minutes = sh.buffer_after_minutes
  from booking.slot_shapes sh
  where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id
    and sh.tenant_id = p_slot.tenant_id and sh.id = p_slot.shape_id
  returning a.* into v_appointment;

  return booking.moved(v_appointment);
end
$$;

comment on function booking.reschedule_appointment(
  booking.appointments, booking.availability_slots, bytea, jsonb
) is
  'Worker of api.reschedule_appointment: moves an appointment to another slot, or refuses.';

-- Where an appointment is now.
create or replace function booking.moved(p_appointment booking.appointments) returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select jsonb_build_object(
    'appointment_id', p_appointment.id,
    'slot_id', p_appointment.slot_id,
    'staff_id', p_appointment.staff_id,
    'location_id', p_appointment.location_id,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'seat', p_appointment.seat,
    'message', 'The appointment is at the new time.'
  )
$$;

comment on function booking.moved(booking.appointments) is 'The answer to a move.';

-- sql/40_booking/reserve_slot.sql

-- Holds a slot for a session, hold_minutes long: one atomic step. Slot and every slot that its
-- claim overlaps are hidden until then (the hold's triggers publish that). The same session asking
-- again gets the same answer and no longer hold; its own holds that overlap are replaced, and stay
-- if the new one cannot be had, because a refusal takes everything back.
--
-- Locks the session (two calls of one session must not pass max_holds_per_session together), then
-- the calendar; looks afterwards, and reads the clock once. A slot that is published as taken, or
-- not published at all, is refused without any lock: nobody makes bookers wait by asking for it,
-- and busy takes as long as off duty.
--
-- Refuses: invalid_request, slot_not_found, slot_taken, hold_limit_reached, appointment_conflict
-- (held already, for a service that the tenant has withdrawn since).
create or replace function booking.reserve_slot(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_tenant booking.tenants;
  v_type booking.appointment_types;
  v_hold booking.slot_reservations;
  v_claim tstzrange;
  v_state record;
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  perform booking.require_slot(p_slot, p_request);

  if p_slot.reserved_until > v_now or not p_slot.is_available
    or p_slot.bookable_until <= v_now or p_slot.bookable_from > v_now
    or (p_slot.calculated_at is null and booking.is_published(p_slot))
  then
    perform
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
      and h.session_hash = p_session_hash and h.expires_at > v_now;
    if not found then
      perform booking.refuse_taken();
    end if;
  end if;

  perform pg_advisory_xact_lock(hashtextextended(
    p_slot.tenant_id::text || encode(p_session_hash, 'hex'), 0
  ));
  perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);
  v_now := booking.now();

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash and h.expires_at > v_now;

  if not found then
    select booking.claim_of(
      p_slot.start_time, p_slot.start_time + sh.duration_minutes * interval '1 minute',
      sh.buffer_before_minutes, sh.buffer_after_minutes
    )
    into v_claim
    from booking.slot_shapes sh
    where sh.tenant_id = p_slot.tenant_id and sh.id = p_slot.shape_id;

    -- Before the calculator, so that the losers of a rush cost little.
    perform
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
      and h.claim && v_claim and h.slot_id <> p_slot.id
      and h.expires_at > v_now and h.session_hash <> p_session_hash;
    if found then
      perform booking.refuse_taken();
    end if;

    select s.* into v_state
    from booking.calculate_slot(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
    ) s;
    if not coalesce(v_state.is_on_grid and v_state.is_available and v_state.is_bookable, false) then
      perform booking.refuse_taken();
    end if;

    delete from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
      and (h.expires_at <= v_now or (h.session_hash = p_session_hash and h.claim && v_claim));

    v_hold.seat := booking.free_seat(p_slot.tenant_id, p_slot.id, v_state.capacity);
    if v_hold.seat is null then
      perform booking.refuse_taken();
    end if;
  end if;

  v_type := booking.offered_type(
    p_slot.tenant_id, p_slot.staff_id, p_slot.shape_id, p_request ->> 'appointment_type', v_hold
  );

  if v_hold.id is null then
    select t.* into v_tenant from booking.tenants t where t.id = p_slot.tenant_id;

    perform
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.session_hash = p_session_hash
      and h.expires_at > v_now
    having count(*) >= v_tenant.max_holds_per_session;
    if found then
      perform booking.refuse(
        'hold_limit_reached',
        format('This session holds %s times already.', v_tenant.max_holds_per_session),
        null, 'Book or release one of them first.'
      );
    end if;

    insert into booking.slot_reservations (
      tenant_id, slot_id, staff_id, location_id, shape_id, start_time, claim, seat, session_hash,
      customer_id, appointment_type_id, quoted_price_cents, currency, capacity, expires_at
    )
    values (
      p_slot.tenant_id, p_slot.id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id,
      p_slot.start_time, v_claim, v_hold.seat, p_session_hash, booking.caller_id(),
      v_type.id, v_type.price_cents, v_type.currency, v_state.capacity,
      v_now + v_tenant.hold_minutes * interval '1 minute'
    )
    returning * into v_hold;
  elsif v_hold.appointment_type_id is distinct from coalesce(v_type.id, v_hold.appointment_type_id)
    or (v_hold.customer_id is null and booking.caller_id() is not null)
  then
    -- For another service, or signed in meanwhile.
    update booking.slot_reservations h
    set customer_id = coalesce(h.customer_id, booking.caller_id()),
      appointment_type_id = coalesce(v_type.id, h.appointment_type_id),
      quoted_price_cents = case
        when v_type.id = h.appointment_type_id or v_type.id is null then h.quoted_price_cents
        else v_type.price_cents
      end,
      currency = case
        when v_type.id = h.appointment_type_id or v_type.id is null then h.currency
        else v_type.currency
      end
    where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id
    returning * into v_hold;
  end if;

  return jsonb_strip_nulls(jsonb_build_object(
    'slot_id', v_hold.slot_id,
    'reserved_until', booking.iso_time(v_hold.expires_at),
    'seat', v_hold.seat,
    'price_cents', v_hold.quoted_price_cents,
    'currency', v_hold.currency,
    'message', format('Held for you until %s.', booking.iso_time(v_hold.expires_at))
  ));
end
$$;

comment on function booking.reserve_slot(booking.availability_slots, bytea, jsonb) is
  'Worker of api.reserve_slot: holds a slot for a session, or refuses.';

-- sql/50_triggers/appointments.sql

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

-- What happened, for the outbox and the audit trail, whoever wrote it. Events tell of what lies
-- ahead; an appointment that comes from another system (external_id) has been told of there. Direct
-- writes leave an audit row here; attempt() writes one itself and says so by booking.is_audited.
-- Runs as the owner because only the owner writes either table.
create or replace function booking.appointments_recorded() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_caller_id uuid := booking.caller_id();
  v_caller_role text := coalesce(booking.caller_role(), session_user);
  v_address_hash bytea := booking.address_hash();
  v_before booking.appointments[];
  v_after booking.appointments[];
begin
  if tg_op <> 'INSERT' then
    v_before := array(select o from old_rows o);
  end if;
  if tg_op <> 'DELETE' then
    v_after := array(select n from changed_rows n);
  end if;

  with changes as materialized (
    select
      coalesce(n.tenant_id, o.tenant_id) as tenant_id,
      coalesce(n.id, o.id) as appointment_id,
      coalesce(n.staff_id, o.staff_id) as staff_id,
      coalesce(n.slot_id, o.slot_id) as slot_id,
      case
        when n.id is null then 'delete_appointment'
        when o.id is null or (o.status = 'cancelled' and n.status <> 'cancelled')
        then 'create_appointment'
        when n.status = 'cancelled' and o.status <> 'cancelled' then 'cancel_appointment'
        when (o.staff_id, o.location_id, o.start_time, o.end_time)
          is distinct from (n.staff_id, n.location_id, n.start_time, n.end_time)
        then 'reschedule_appointment'
        when o.status <> n.status then 'change_status'
      end as action,
      o.payment_status <> n.payment_status as is_payment,
      n.end_time > v_now or o.end_time > v_now as is_ahead,
      o.id is null and n.external_id is not null as is_imported,
      o.start_time as old_start_time, o.end_time as old_end_time, o.staff_id as old_staff_id,
      o.location_id as old_location_id, o.status as old_status, n as row
    from unnest(v_after) as n
    full join unnest(v_before) as o on o.tenant_id = n.tenant_id and o.id = n.id
  ),
  audited as (
    insert into booking.audit_log (
      tenant_id, action, outcome, actor_id, actor_role, address_hash, slot_id, appointment_id,
      staff_id, details
    )
    select c.tenant_id, c.action, 'success', v_caller_id, v_caller_role, v_address_hash, c.slot_id,
      c.appointment_id, c.staff_id,
      jsonb_build_object('is_direct', true) || case
        when c.action = 'change_status'
        then jsonb_build_object('from', c.old_status, 'to', (c.row).status)
        else '{}'
      end
    from changes c
    where c.action is not null
      and coalesce(current_setting('booking.is_audited', true), '') <> 'on'
  )
  insert into booking.events (tenant_id, kind, appointment_id, payload)
  select c.tenant_id, event.kind, c.appointment_id,
    jsonb_build_object(
      'status', (c.row).status,
      'start_time', booking.iso_time((c.row).start_time),
      'end_time', booking.iso_time((c.row).end_time),
      'staff_id', (c.row).staff_id,
      'location_id', (c.row).location_id,
      'appointment_type_id', (c.row).appointment_type_id,
      'payment_status', (c.row).payment_status,
      'price_cents', (c.row).price_cents,
      'currency', (c.row).currency,
      'source', (c.row).source
    ) || case
      when event.kind = 'moved' then jsonb_build_object('from', jsonb_build_object(
        'start_time', booking.iso_time(c.old_start_time),
        'end_time', booking.iso_time(c.old_end_time),
        'staff_id', c.old_staff_id,
        'location_id', c.old_location_id
      ))
      when event.kind = 'payment'
      then jsonb_build_object('payment_reference', (c.row).payment_reference)
      else '{}'
    end
  from changes c
  cross join lateral (
    select case c.action
      when 'create_appointment' then case when (c.row).status <> 'cancelled' then 'booked' end
      when 'reschedule_appointment' then case when (c.row).status <> 'cancelled' then 'moved' end
      when 'cancel_appointment' then 'cancelled'
    end as kind
    where c.is_ahead and not c.is_imported
    union all
    select 'payment' where c.is_payment
  ) as event
  where event.kind is not null;
  return null;
end
$$;

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
  v_rows booking.slot_reservations[];
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_claims tstzrange[];
  v_grid_stands boolean;
begin
  if tg_op = 'UPDATE' then
    v_rows := array(select o from old_rows o union all select n from changed_rows n);
  else
    v_rows := array(select c from changed_rows c);
  end if;

  for v_tenant_id, v_staff_ids, v_claims, v_grid_stands in
    -- A slot that is not available may be there for its hold alone, and go with it.
    select h.tenant_id, array_agg(h.staff_id), array_agg(h.claim),
      bool_and(coalesce(s.is_available, true))
    from unnest(v_rows) as h
    left join booking.availability_slots s on s.tenant_id = h.tenant_id and s.id = h.slot_id
    group by h.tenant_id
  loop
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims, v_grid_stands);
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

-- sql/70_api/create_appointment.sql

-- Worker: booking.create_appointment, in the frame of booking.attempt.
create or replace function api.create_appointment(
  slot_id uuid,
  user_data jsonb,
  appointment_type text,
  session_id text default null,
  notes text default null,
  idempotency_key text default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('create_appointment', jsonb_build_object(
    'slot_id', create_appointment.slot_id,
    'user_data', create_appointment.user_data,
    'appointment_type', create_appointment.appointment_type,
    'session_id', create_appointment.session_id,
    'notes', create_appointment.notes,
    'idempotency_key', create_appointment.idempotency_key,
    'tenant_id', create_appointment.tenant_id
  ));
end
$$;

comment on function api.create_appointment(uuid, jsonb, text, text, text, text, uuid) is
  'Book a slot that you hold
For signed-in customers, and for the service on behalf of guests. user_data is an object with name,
and email or phone; locale, timezone and further keys are kept; at most 8 kB. Without session_id
the hold must be the signed-in caller''s own. idempotency_key (at most 255 characters): the same
request again gets the same appointment, with a new manage_token in place of the old.
Answers {"success": true, "appointment_id", "status", "start_time", "end_time" (UTC),
"price_cents", "currency", "manage_token", "payment_required", "payment_due_at", "payment_url"}.
manage_token is shown once; its bearer can move and cancel. Refusals: reservation_expired,
appointment_conflict, idempotency_conflict 409; slot_not_found 404; invalid_request 400;
not_authenticated 401; rate_limited 429; busy 503.';

-- sql/70_api/get_available_slots.sql

-- Worker: booking.get_available_slots, in the frame of booking.answer.
create or replace function api.get_available_slots(
  tenant_id uuid,
  start_date date,
  end_date date,
  staff_id uuid default null,
  duration_minutes integer default null,
  location_id uuid default null,
  appointment_type text default null,
  max_results integer default null,
  page_token text default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_available_slots', jsonb_build_object(
    'tenant_id', get_available_slots.tenant_id,
    'start_date', get_available_slots.start_date,
    'end_date', get_available_slots.end_date,
    'staff_id', get_available_slots.staff_id,
    'duration_minutes', get_available_slots.duration_minutes,
    'location_id', get_available_slots.location_id,
    'appointment_type', get_available_slots.appointment_type,
    'max_results', get_available_slots.max_results,
    'page_token', get_available_slots.page_token
  ));
end
$$;

comment on function api.get_available_slots(
  uuid, date, date, uuid, integer, uuid, text, integer, text
) is
  'List slots that can be booked now
start_date and end_date are local dates of the place, inclusive, at most 62 days. appointment_type
is a service''s code: only slots and people that fit it, with its price. By start_time, at most
max_results (1 to 1,000, default 1,000); next_page_token is there where more follow, to be sent as
page_token with the same arguments.
Answers {"success": true, "slots": [{"id", "staff_id", "start_time", "end_time" (UTC),
"duration_minutes", "location_id", "seats_left", "price_cents", "currency"}], "next_page_token"}.
By GET, with ETag. Refusals: range_too_large, invalid_request 400; not_found 404; rate_limited
429; busy 503.';

-- sql/70_api/get_next_available.sql

-- Worker: booking.get_next_available, in the frame of booking.answer.
create or replace function api.get_next_available(
  tenant_id uuid,
  appointment_type text default null,
  duration_minutes integer default null,
  staff_id uuid default null,
  location_id uuid default null,
  from_time timestamptz default null,
  max_results integer default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_next_available', jsonb_build_object(
    'tenant_id', get_next_available.tenant_id,
    'appointment_type', get_next_available.appointment_type,
    'duration_minutes', get_next_available.duration_minutes,
    'staff_id', get_next_available.staff_id,
    'location_id', get_next_available.location_id,
    'from_time', get_next_available.from_time,
    'max_results', get_next_available.max_results
  ));
end
$$;

comment on function api.get_next_available(uuid, text, integer, uuid, uuid, timestamptz, integer) is
  'Find the first free times
Over all people, or one; from from_time (an instant) on, or from now. max_results is 1 to 100,
default 5.
Answers {"success": true, "slots"} as get_available_slots does, by start_time. Refusals:
invalid_request 400; not_found 404; rate_limited 429; busy 503.';

drop procedure booking.run_job;

drop function booking.delete_old_records;

drop view api.staff_utilisation;

drop function api.reserve_time;

drop view api.popular_slots;

drop view api.peak_demand;

drop view api.lead_times;

drop view api.hold_refusals;

drop function api.get_available_times;

drop view api.cancellations;

drop view api.booking_funnel;

drop function booking.supply_by_day;

drop function booking.live_supply;

drop function booking.supply_of;

drop function booking.roll_up_again;

drop function booking.roll_up_next;

drop function booking.roll_up_outcomes;

drop function booking.live_days;

drop function booking.holds_by_day;

drop function booking.live_holds;

drop function booking.holds_of;

drop function booking.count_search;

drop function booking.bookings_by_day;

drop function booking.live_bookings;

drop function booking.bookings_of;

drop function booking.attempts_by_day;

drop function booking.live_attempts;

drop function booking.attempts_of;

drop function booking.appointments_by_day;

drop function booking.live_appointments;

drop function booking.appointments_of;

drop function booking.analysed_tenants;

drop function booking.slot_prices;

drop function booking.rounded_price;

drop function booking.reserve_time;

drop function booking.has_row;

drop function booking.require_type;

drop function booking.require_location;

drop function booking.require_tenant;

drop function booking.rank_free_people;

drop function booking.price_of;

drop function booking.lock_session;

drop function booking.holds_in_the_way;

drop function booking.get_available_times;

drop function booking.find_service_slots;

drop function booking.day_is_full_until;

drop function booking.require_within_customer_limit;

drop function booking.lock_customer;

drop function booking.customer_key;

drop function booking.current_slot;

drop function booking.asked_people;

drop function booking.require_travel_time;

drop function booking.work_off_queued;

drop function booking.refresh_queued_calendar;

drop function booking.refresh_holds;

drop function booking.queue_failed;

drop function booking.refresh_due_calendar;

drop function booking.find_published_slots;

drop function booking.travel_around;

drop function booking.longest_travel;

drop function booking.day_loads;

drop function booking.booked_time;

drop function booking.barred_period;

drop function booking.widened;

-- sql/90_grants.sql

-- The whole access matrix. First everything is taken back, so that running this again leaves
-- exactly what stands here. Views run as their invoker: callers need the columns that a view shows
-- or joins by, and no others; what decides (bookable_*, reserved_until) is the policies'
-- business.
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

grant select (id, timezone, is_active) on booking.tenants to anon, authenticated, service_role;

grant select (id, tenant_id, name, timezone, is_active)
on booking.locations to anon, authenticated, service_role;

grant select on api.locations to anon, authenticated, service_role;

grant select (id, tenant_id, display_name, is_active)
on booking.staff to anon, authenticated, service_role;

grant select on api.staff to anon, authenticated, service_role;

grant select (
  id, tenant_id, shape_id, code, name, duration_minutes, price_cents, currency, requires_payment,
  capacity, is_active
) on booking.appointment_types to anon, authenticated, service_role;

grant select on api.appointment_types to anon, authenticated, service_role;

grant select (tenant_id, staff_id, appointment_type_id)
on booking.staff_appointment_types to anon, authenticated, service_role;

grant select on api.staff_appointment_types to anon, authenticated, service_role;

-- Appointments: what the policies let members write. The functions are what constraints, generated
-- columns, triggers and policies ask in the writer's name.
grant select (
  id, tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, seat, start_time,
  end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
  price_cents, currency, payment_status, payment_due_at, cancelled_at, cancel_reason, source,
  created_at, updated_at
) on booking.appointments to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, appointment_type_id, slot_id, shape_id, start_time, end_time,
  buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes, price_cents,
  currency
) on booking.appointments to authenticated, service_role;

grant update (
  staff_id, location_id, appointment_type_id, start_time, end_time, buffer_before_minutes,
  buffer_after_minutes, status, customer, notes, price_cents, currency, cancel_reason
) on booking.appointments to authenticated, service_role;

grant select, insert, update on api.appointments to authenticated, service_role;

grant execute on function booking.caller_claims to authenticated, service_role;

grant execute on function booking.caller_id to authenticated, service_role;

grant execute on function booking.caller_may_write to authenticated, service_role;

grant execute on function booking.caller_memberships to authenticated, service_role;

grant execute on function booking.member_tenant_ids to authenticated, service_role;

grant execute on function booking.member_staff_ids to authenticated, service_role;

grant execute on function booking.iso_time to authenticated, service_role;

grant execute on function booking.slot_id to authenticated, service_role;

grant execute on function booking.is_slot_id to authenticated, service_role;

grant execute on function booking.claim_of to authenticated, service_role;

grant execute on function booking.whole_minutes to authenticated, service_role;

-- Schedules: what the policies let members write.
grant select (
  id, tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until,
  created_at, updated_at
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant update (
  staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until
) on booking.working_hours, booking.breaks to authenticated, service_role;

grant delete on booking.working_hours, booking.breaks to authenticated, service_role;

grant select, insert, update, delete
on api.working_hours, api.breaks to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note,
  created_at, updated_at
) on booking.schedule_exceptions to authenticated, service_role;

grant insert (
  tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant update (
  staff_id, location_id, first_date, last_date, kind, start_time, end_time, note
) on booking.schedule_exceptions to authenticated, service_role;

grant delete on booking.schedule_exceptions to authenticated, service_role;

grant select, insert, update, delete
on api.schedule_exceptions to authenticated, service_role;

grant select (
  id, tenant_id, staff_id, start_time, end_time, source, external_id, created_at, updated_at
) on booking.busy_times to authenticated, service_role;

grant insert (
  tenant_id, staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant update (
  staff_id, start_time, end_time, source, external_id
) on booking.busy_times to authenticated, service_role;

grant delete on booking.busy_times to authenticated, service_role;

grant select, insert, update, delete on api.busy_times to authenticated, service_role;

grant execute on function booking.is_whole_minute to authenticated, service_role;

-- The functions: thin ones run as their caller, who may call the two frames that do the work as the
-- owner, and nothing behind them.
grant execute on function booking.attempt to anon, authenticated, service_role;

grant execute on function booking.answer to anon, authenticated, service_role;

grant execute on function api.reserve_slot to anon, authenticated, service_role;

grant execute on function api.get_reservations to anon, authenticated, service_role;

grant execute on function api.release_slot to anon, authenticated, service_role;

grant execute on function api.reschedule_appointment to anon, authenticated, service_role;

grant execute on function api.cancel_appointment to anon, authenticated, service_role;

grant execute on function api.get_tenant to anon, authenticated, service_role;

grant execute on function api.get_available_slots to anon, authenticated, service_role;

grant execute on function api.get_next_available to anon, authenticated, service_role;

grant execute on function api.create_appointment to authenticated, service_role;

grant execute on function api.set_working_hours to authenticated, service_role;

grant execute on function api.explain_availability to authenticated, service_role;

grant execute on function api.record_payment to service_role;

grant execute on function api.recalculate_availability to service_role;

-- What PostgREST runs first, as the caller.
grant execute on function booking.cache_control to anon, authenticated, service_role;

grant execute on function api.pre_request to anon, authenticated, service_role;

-- Supabase makes tokens as a role of its own.
do $$
begin
  if to_regrole('supabase_auth_admin') is not null then
    grant usage on schema booking to supabase_auth_admin;
    grant execute on function booking.custom_access_token_hook to supabase_auth_admin;
  end if;
end
$$;
