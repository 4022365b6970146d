-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: 0015.appointments_by_booking

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
-- never set reads as null, one that was set in an earlier transaction as ''. No locks. Every call
-- asks these several times, and PL/pgSQL keeps its plans where a pinned SQL function plans anew.
create or replace function booking.caller_claims() returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
end
$$;

comment on function booking.caller_claims() is 'The claims of the caller''s token, or null.';

create or replace function booking.caller_role() returns text
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return booking.caller_claims() ->> 'role';
end
$$;

comment on function booking.caller_role() is 'The role that the caller''s token names, or null.';

-- Users are UUIDs; whoever has another subject is nobody here.
create or replace function booking.caller_id() returns uuid
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_subject text := booking.caller_claims() ->> 'sub';
begin
  return case
    when v_subject ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then v_subject::uuid
  end;
end
$$;

comment on function booking.caller_id() is 'The signed-in caller: the sub of their token, or null.';

-- Whether the token's bearer sees this tenant's calendars: its staff and admins, and the service.
create or replace function booking.caller_is_member(p_tenant_id uuid) returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.caller_claims();
begin
  return coalesce(
    v_claims ->> 'role' = 'service_role'
    or v_claims #>> array['app_metadata', 'tenants', p_tenant_id::text, 'role']
      in ('admin', 'staff'),
    false
  );
end
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
  v_entry text;
  v_address inet;
begin
  if v_entries is null then
    return null;
  end if;
  v_entry := v_entries[
    cardinality(v_entries) - (select s.trusted_proxies from booking.settings s) + 1
  ];

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
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_address inet := booking.client_address();
begin
  return case
    when family(v_address) = 6 then network(set_masklen(v_address, 64))
    else v_address
  end;
end
$$;

comment on function booking.client_network() is
  'The caller''s address, or of an IPv6 address its /64; null where there is none.';

create or replace function booking.address_hash() returns bytea
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_network inet := booking.client_network();
begin
  if v_network is null then
    return null;
  end if;
  return (
    select sha256(convert_to(s.hash_salt::text || v_network, 'UTF8')) from booking.settings s
  );
end
$$;

comment on function booking.address_hash() is
  'The caller''s address (IPv6: its /64) as salted SHA-256, or null.';

-- sql/10_foundation/first_instant.sql

-- The first instant at which the clocks of a zone show a local time. AT TIME ZONE takes the later
-- of two instants when clocks were put back, which is the rule for working hours; a local date,
-- though, begins the first time its midnight comes: as far before the later instant as the clocks
-- were put back during the day before, if they show the same then.
--
-- Locks nothing, refuses nothing. Inlinable on purpose, hence without a pinned search_path and
-- without a FROM, which would name what is asked for repeatedly and keep it from being inlined.
create or replace function booking.first_instant(p_local_time timestamp, p_zone text)
returns timestamptz
language sql stable parallel safe
as $$
  select case
    when (
      (p_local_time at time zone p_zone) - (
        (((p_local_time at time zone p_zone) - interval '24 hours') at time zone p_zone)
        + interval '24 hours' - p_local_time
      )
    ) at time zone p_zone = p_local_time
    then least(
      p_local_time at time zone p_zone,
      (p_local_time at time zone p_zone) - (
        (((p_local_time at time zone p_zone) - interval '24 hours') at time zone p_zone)
        + interval '24 hours' - p_local_time
      )
    )
    else p_local_time at time zone p_zone
  end
$$;

comment on function booking.first_instant(timestamp, text) is
  'The first instant at which clocks in the IANA zone show this local time (or, if it is skipped,
the instant of the change).';

-- sql/10_foundation/iso_time.sql

-- An instant as answers write it: ISO 8601 in UTC, whatever the session's zone; a fraction of a
-- second only where there is one. Inlinable on purpose, hence without a pinned search_path, and
-- stable as to_json is: a listing has a thousand of them, and a call would cost more than the rest.
create or replace function booking.iso_time(p_time timestamptz) returns text
language sql stable parallel safe
as $$
  select btrim(to_json(p_time at time zone 'UTC')::text, '"') || 'Z'
$$;

comment on function booking.iso_time(timestamptz) is
  'The instant in ISO 8601, UTC: 2026-03-02T07:00:00Z.';

-- sql/10_foundation/widened.sql

-- A period with as much more on either side. Reads nothing, refuses nothing.
create or replace function booking.widened(p_period tstzrange, p_reach interval) returns tstzrange
language sql stable parallel safe
as $$
  select tstzrange(lower(p_period) - p_reach, upper(p_period) + p_reach)
$$;

comment on function booking.widened(tstzrange, interval) is
  'The period from p_reach before to p_reach after. Inlinable on purpose, hence without a pinned
search_path.';

-- sql/20_calculator/barred_period.sql

-- The time that a claim at one place bars for somebody who is at another: the claim itself, and the
-- way there before it and back after it (travel_around). Places may be equal or null; then that is
-- the claim. Reads only, refuses nothing.
create or replace function booking.barred_period(
  p_tenant_id uuid,
  p_claim tstzrange,
  p_location_id uuid,
  p_other_location_id uuid
) returns tstzrange
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_location_id is not distinct from p_other_location_id then
    return p_claim;
  end if;

  return coalesce(
    (
      select tstzrange(
        lower(p_claim) - t.minutes_to * interval '1 minute',
        upper(p_claim) + t.minutes_from * interval '1 minute'
      )
      from booking.travel_around(p_tenant_id) t
      where t.location_id = p_location_id and t.other_location_id = p_other_location_id
    ),
    p_claim
  );
end
$$;

comment on function booking.barred_period(uuid, tstzrange, uuid, uuid) is
  'What a claim at p_location_id leaves no room for at p_other_location_id: the claim, widened by
the travel times to and from it (rule 4; design, section 4).';

-- sql/20_calculator/booked_time.sql

-- Rule 5: on which local days of each place, as instants, these people have live appointments, and
-- on which as many as max_appointments_per_day. Attendees of one slot count once; appointments
-- count wherever they are, and on every local day that they touch. Ask for those whom a limit or a
-- compact schedule concerns; null is nobody. Reads only; refuses nothing.
create or replace function booking.booked_time(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_period tstzrange,
  p_without_appointment_id uuid default null
) returns table (
  staff_id uuid,
  location_id uuid,
  booked_time tstzmultirange,
  full_time tstzmultirange
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- How many rows the functions yield is not to be foreseen.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  if p_staff_ids is null then
    return;
  end if;

  return query
  with days as (
    select b.staff_id, l.id as location_id, zone.name as zone, day::date as local_date,
      count(distinct b.attendance_id) as booked
    from booking.busy_time(p_tenant_id, p_staff_ids, p_period, p_without_appointment_id) b
    cross join booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    cross join lateral (select coalesce(l.timezone, t.timezone) as name) as zone
    cross join lateral generate_series(
      (b.start_time at time zone zone.name)::date::timestamp,
      ((b.end_time - interval '1 microsecond') at time zone zone.name)::date::timestamp,
      interval '1 day'
    ) as day
    where b.is_appointment and l.tenant_id = p_tenant_id
    group by b.staff_id, l.id, zone.name, day
  )
  select d.staff_id, d.location_id,
    range_agg(day.period),
    range_agg(day.period) filter (where d.booked >= s.max_appointments_per_day)
  from days d
  join booking.staff s on s.tenant_id = p_tenant_id and s.id = d.staff_id
  cross join lateral (
    select tstzrange(
      booking.first_instant(d.local_date, d.zone), booking.first_instant(d.local_date + 1, d.zone)
    ) as period
  ) as day
  group by d.staff_id, d.location_id;
end
$$;

comment on function booking.booked_time(uuid, uuid[], tstzrange, uuid) is
  'The local days at each place on which people have live appointments, and those on which they have
max_appointments_per_day of them (rule 5; design, section 4).';

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
  end_time timestamptz,
  attendance_id uuid,
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
  -- One person after the other, whatever the planner expects: it cannot know that few appointments
  -- end later than the day that is asked for.
  select p.staff_id, a.claim, a.location_id, a.shape_id, a.start_time, a.end_time,
    coalesce(a.slot_id, a.id), true
  from people p
  cross join lateral (
    select a.id, a.claim, a.location_id, a.shape_id, a.start_time, a.end_time, a.slot_id
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = p.staff_id and a.status <> 'cancelled'
      and a.claim && p_period and upper(a.claim) > lower(p_period)
      and a.id is distinct from p_without_appointment_id
    offset 0
  ) as a
  union all
  select p.staff_id, tstzrange(b.start_time, b.end_time), null, null, b.start_time, b.end_time,
    null, false
  from people p
  cross join lateral (
    select b.start_time, b.end_time
    from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.staff_id = p.staff_id
      and tstzrange(b.start_time, b.end_time) && p_period and b.end_time > lower(p_period)
    offset 0
  ) as b;
end
$$;

comment on function booking.busy_time(uuid, uuid[], tstzrange, uuid) is
  'Claims of live appointments (without one that is about to move) and busy times of these people
that overlap a period. attendance_id is one for all attendees of a slot.';

-- sql/20_calculator/calculate_slot.sql

drop function booking.calculate_slot;

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

-- sql/20_calculator/calculate_slots.sql

drop function booking.calculate_slots;

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

-- sql/20_calculator/day_loads.sql

-- How full people's days are, for prices: of the working time that a person has on a local date at
-- a place (rule 1, pieces cut to that date, so that a night shift counts on both of its dates), the
-- whole percent, rounded down, that is taken by claims of live appointments, buffers included, and
-- by busy times, wherever they are. Holds take nothing: they are no bookings yet. Without working
-- time it is 0.
--
-- One row for each person, place and date that is asked for (three arrays of equal length),
-- however often. Asks for working time and for what is taken once each. Reads only; refuses
-- nothing.
create or replace function booking.day_loads(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_ids uuid[],
  p_local_dates date[]
) returns table (
  staff_id uuid,
  location_id uuid,
  local_date date,
  load_percent integer
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- How many rows the functions yield is not to be foreseen.
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query
  with days as materialized (
    select
      asked.staff_id, asked.location_id, asked.local_date,
      tstzrange(
        booking.first_instant(asked.local_date, z.zone),
        booking.first_instant(asked.local_date + 1, z.zone)
      ) as period
    from (
      select distinct u.staff_id, u.location_id, u.local_date
      from unnest(p_staff_ids, p_location_ids, p_local_dates)
        as u(staff_id, location_id, local_date)
    ) as asked
    join booking.locations l on l.tenant_id = p_tenant_id and l.id = asked.location_id
    join booking.tenants t on t.id = l.tenant_id
    cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
  ),
  bounds as (
    select
      array_agg(distinct d.staff_id) as staff_ids,
      min(d.local_date) as first_date,
      max(d.local_date) as last_date,
      tstzrange(min(lower(d.period)), max(upper(d.period))) as period
    from days d
    having count(*) > 0
  ),
  -- A window lasts two dates at most, three where a zone skips one.
  work as materialized (
    select
      d.staff_id, d.location_id, d.local_date,
      range_agg(d.period * tstzrange(w.starts_at, w.ends_at)) as periods
    from bounds b
    cross join lateral booking.working_time(
      p_tenant_id, b.staff_ids, b.first_date - 2, b.last_date
    ) w
    join days d
      on d.staff_id = w.staff_id and d.location_id = w.location_id
      and d.local_date between w.local_date and w.local_date + 2
    group by d.staff_id, d.location_id, d.local_date
  ),
  taken as materialized (
    select busy.staff_id, range_agg(busy.period) as periods
    from bounds b
    cross join lateral booking.busy_time(p_tenant_id, b.staff_ids, b.period) busy
    group by busy.staff_id
  )
  select
    d.staff_id, d.location_id, d.local_date,
    coalesce(div(100 * seconds.taken, nullif(seconds.worked, 0)), 0)::integer
  from days d
  left join work w
    on w.staff_id = d.staff_id and w.location_id = d.location_id and w.local_date = d.local_date
  left join taken t on t.staff_id = d.staff_id
  cross join lateral (
    select
      (
        select sum(extract(epoch from upper(part.period) - lower(part.period)))
        from unnest(w.periods) as part(period)
      ) as worked,
      (
        select sum(extract(epoch from upper(part.period) - lower(part.period)))
        from unnest(w.periods * t.periods) as part(period)
      ) as taken
  ) as seconds;
end
$$;

comment on function booking.day_loads(uuid, uuid[], uuid[], date[]) is
  'Whole percent, rounded down, of a person''s working time on a local date at a place that live
appointments (buffers included) and busy times take; 0 without working time.';

-- sql/20_calculator/expected_slots.sql

drop function booking.expected_slots;

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
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
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
set enable_hashjoin = on
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
  appointed as (
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
  -- Slots that somebody attends or holds, on the grid or not.
  named as (
    select n.*, sh.duration_minutes, sh.is_group,
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
    from (
      select coalesce(a.staff_id, h.staff_id) as staff_id,
        coalesce(a.location_id, h.location_id) as location_id,
        coalesce(a.shape_id, h.shape_id) as shape_id,
        coalesce(a.start_time, h.start_time) as start_time,
        coalesce(a.booked, 0) as booked, a.appointment_id,
        coalesce(h.seats, 0) as seats, h.own_expiries
      from appointed a
      full join (
        select o.staff_id, o.location_id, o.shape_id, o.start_time,
          count(*)::integer as seats, array_agg(o.expires_at order by o.expires_at) as own_expiries
        from holds o
        group by o.staff_id, o.location_id, o.shape_id, o.start_time
      ) as h
        on h.staff_id = a.staff_id and h.location_id = a.location_id
        and h.shape_id = a.shape_id and h.start_time = a.start_time
    ) as n
    join bounds b on b.staff_id = n.staff_id and b.location_id = n.location_id
    join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = n.shape_id
    left join booking.appointment_types t
      on t.tenant_id = p_tenant_id and t.id = sh.group_type_id
  ),
  -- Rule 4: holds, as they bar each place.
  seen_holds as (
    select h.staff_id, b.location_id, h.slot_id, h.session_hash, h.expires_at, case
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
  -- Rule 5: the local days that holds touch, for people with a day limit, and how many of them such
  -- a day has room for. Holds of one slot are one, until the last of them expires, and none where
  -- somebody attends it already.
  held_days as materialized (
    select h.staff_id, b.location_id, day.period, h.slot_id, max(h.expires_at) as expires_at,
      (
        select s.max_appointments_per_day - count(distinct coalesce(a.slot_id, a.id))
        from booking.appointments a
        where a.tenant_id = p_tenant_id and a.staff_id = h.staff_id and a.claim && day.period
          and tstzrange(a.start_time, a.end_time) && day.period
          and upper(a.claim) > lower(day.period) and a.status <> 'cancelled'
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
  -- What each person's slots at a place have to be asked about: mostly nothing.
  places as materialized (
    select b.staff_id, b.location_id, b.first_start, b.end_of_starts,
      h.held_time, h.barred, h.slot_ids, h.session_hashes, h.expiries, d.held_days
    from bounds b
    left join (
      select s.staff_id, s.location_id, range_agg(s.barred) as held_time,
        array_agg(s.barred) as barred, array_agg(s.slot_id) as slot_ids,
        array_agg(s.session_hash) as session_hashes, array_agg(s.expires_at) as expiries
      from seen_holds s
      group by s.staff_id, s.location_id
    ) as h on h.staff_id = b.staff_id and h.location_id = b.location_id
    left join (
      select f.staff_id, f.location_id, range_agg(f.period) as held_days
      from held_days f
      where f.room > 0
      group by f.staff_id, f.location_id
    ) as d on d.staff_id = b.staff_id and d.location_id = b.location_id
  ),
  slots as (
    select
      coalesce(g.staff_id, n.staff_id) as staff_id,
      coalesce(g.location_id, n.location_id) as location_id,
      coalesce(g.shape_id, n.shape_id) as shape_id,
      coalesce(g.start_time, n.start_time) as start_time,
      coalesce(g.end_time, n.end_time) as end_time,
      coalesce(g.duration_minutes, n.duration_minutes) as duration_minutes,
      coalesce(g.claim, n.claim) as claim,
      coalesce(g.capacity, n.capacity) as capacity,
      coalesce(g.is_available, false) as is_available,
      case when g.staff_id is null then n.bookable_from else g.bookable_from end as bookable_from,
      coalesce(g.bookable_until, n.bookable_until) as bookable_until,
      n.is_group, n.appointment_id, n.own_expiries,
      coalesce(n.booked, 0) as booked, coalesce(n.seats, 0) as seats
    from booking.calculate_slots(
      p_tenant_id, p_staff_ids, v_from, v_to, null, null, p_shape_ids
    ) g
    full join named n
      on n.staff_id = g.staff_id and n.location_id = g.location_id
      and n.shape_id = g.shape_id and n.start_time = g.start_time
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes, s.claim,
    s.capacity, greatest(s.capacity - s.booked - s.seats, 0),
    s.is_available, s.bookable_from, s.bookable_until,
    -- Free again once the holds of other slots are gone, or leave room on its day (a class that
    -- somebody attends has its day), and, where attendees and holds fill it, as many of its own as
    -- leave one seat.
    greatest(
      case when p.held_time && s.claim then (
        select max(h.expires_at)
        from unnest(p.barred, p.slot_ids, p.expiries) as h(barred, slot_id, expires_at)
        where h.barred && s.claim and h.slot_id <> booking.slot_id(
          p_tenant_id, s.staff_id, s.location_id, s.start_time, s.shape_id
        )
      ) end,
      case
        when p.held_days && tstzrange(s.start_time, s.end_time)
          and not coalesce(s.is_group and s.booked > 0, false)
        then (
          select max(last.expires_at)
          from (
            select distinct d.period, d.room
            from held_days d
            where d.staff_id = s.staff_id and d.location_id = s.location_id and d.room > 0
              and d.period && tstzrange(s.start_time, s.end_time)
          ) as day
          cross join lateral (
            select d.expires_at
            from held_days d
            where d.staff_id = s.staff_id and d.location_id = s.location_id
              and d.period = day.period
              and d.slot_id <> booking.slot_id(
                p_tenant_id, s.staff_id, s.location_id, s.start_time, s.shape_id
              )
            order by d.expires_at desc
            offset day.room - 1
            limit 1
          ) as last
        )
      end,
      case
        when s.seats > 0 and s.booked + s.seats >= s.capacity
        then s.own_expiries[least(s.seats, s.seats + s.booked - s.capacity + 1)]
      end
    ),
    case when p.held_time && s.claim then (
      select case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
      from unnest(p.barred, p.session_hashes) as h(barred, session_hash)
      where h.barred && s.claim
    ) end,
    case when not s.is_group then s.appointment_id end
  from slots s
  join places p
    on p.staff_id = s.staff_id and p.location_id = s.location_id
    and s.start_time >= p.first_start and s.start_time < p.end_of_starts;
end
$$;

comment on function booking.expected_slots(
  uuid, uuid[], date, date, boolean, boolean, uuid[]
) is
  'What availability_slots must hold for these people and local dates (null: no bound), hold columns
included; nothing before a location''s today or after a calendar''s materialized_until. p_beyond:
the same of the days after that, which have no rows, up to the location''s today +
booking_horizon_days.';

-- sql/20_calculator/explain_slot.sql

-- Why one start can or cannot be booked for an appointment type: each rule of the calculator in
-- order, with its verdict, a sentence for whoever manages the calendar, and the rows that decided.
-- passed is null where another rule leaves nothing to ask.
--
-- Verdicts are the calculator's: of working time (rules 1 and 3) by working_time, of the rest by
-- calculate_slot; what is looked up here is the evidence, and for a start that has no row there
-- (rules 1 or 3 failed, or something is inactive) the verdicts of rules 4 and 6 by the same
-- conditions; so is that of the day limit (rule 5). That they agree on every candidate is a
-- property test. Holds are no rule of the calculator but the last word on reserving. Reads only,
-- refuses nothing.
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
  v_has_begun boolean;
  v_full_date date;
  v_most integer;
  v_days tstzrange;
  v_day_full_until timestamptz;
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
  v_has_begun := v_shape.is_group and v_booked > 0;
  -- The local days that it touches.
  v_days := tstzrange(
    booking.first_instant(v_date, v_zone),
    booking.first_instant(
      ((v_end - interval '1 microsecond') at time zone v_zone)::date + 1, v_zone
    )
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

  -- Rule 4: a class ignores its own attendees, unless they fill it; an appointment elsewhere takes
  -- the way to and from it, too.
  rule := 'free';
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'table', x.source, 'id', x.id, 'starts_at', booking.iso_time(lower(x.period)),
    'ends_at', booking.iso_time(upper(x.period)), 'travel_from', x.place
  )) order by lower(x.period), x.id), '[]')
  into evidence
  from (
    select 'appointments' as source, a.id, a.claim as period,
      case when not a.claim && v_claim then l.name end as place
    from booking.appointments a
    join booking.locations l on l.tenant_id = p_tenant_id and l.id = a.location_id
    where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id
      and a.claim && booking.widened(v_claim, booking.longest_travel(p_tenant_id))
      and upper(a.claim) > lower(v_claim) - booking.longest_travel(p_tenant_id)
      and a.status <> 'cancelled'
      and (a.slot_id is distinct from v_slot_id or v_booked >= v_capacity)
      and v_claim && booking.barred_period(p_tenant_id, a.claim, a.location_id, p_location_id)
    union all
    select 'busy_times', t.id, tstzrange(t.start_time, t.end_time), null
    from booking.busy_times t
    where t.tenant_id = p_tenant_id and t.staff_id = p_staff_id
      and tstzrange(t.start_time, t.end_time) && v_claim and t.end_time > lower(v_claim)
  ) as x;
  passed := coalesce(v_state.is_free, evidence = '[]');
  message := case
    when v_shape.is_group and v_booked >= v_capacity
    then format('All %s places are taken.', v_capacity)
    when evidence <> '[]' then format(
      '%s: %s%s.',
      case
        when evidence #>> '{0,travel_from}' is not null
        then format('No time to travel: appointment at %s', evidence #>> '{0,travel_from}')
        when evidence #>> '{0,table}' = 'appointments'
        then 'Another appointment, buffers included'
        else 'Busy'
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

  -- Rule 5. A class that somebody attends has its day.
  rule := 'day_limit';
  select max(d.booked),
    min(d.local_date) filter (where d.booked >= v_person.max_appointments_per_day)
  into v_most, v_full_date
  from (
    select local_date::date as local_date, (
      select count(distinct coalesce(a.slot_id, a.id))
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.claim && v_days
        and upper(a.claim) > lower(v_days)
        and tstzrange(a.start_time, a.end_time) && tstzrange(
          booking.first_instant(local_date, v_zone),
          booking.first_instant(local_date + interval '1 day', v_zone)
        )
        and a.status <> 'cancelled'
    ) as booked
    from generate_series(
      v_date::timestamp, ((v_end - interval '1 microsecond') at time zone v_zone)::date::timestamp,
      interval '1 day'
    ) as local_date
  ) as d;
  passed := coalesce(v_state.is_within_limit, v_has_begun or v_full_date is null);
  evidence := case
    when passed then '[]'
    else jsonb_build_array(jsonb_build_object('table', 'staff', 'id', p_staff_id))
  end;
  message := case
    when v_person.max_appointments_per_day is null
    then format('%s has no limit of appointments a day.', v_person.display_name)
    when not passed then format(
      '%s takes %s appointments a day, and has them on %s.', v_person.display_name,
      v_person.max_appointments_per_day, to_char(v_full_date, 'Dy FMDD Mon YYYY')
    )
    when v_has_begun then 'Others come to this class, so it counts already.'
    else format(
      '%s takes %s appointments a day, and has %s.', v_person.display_name,
      v_person.max_appointments_per_day, v_most
    )
  end;
  return next;

  rule := 'compact';
  passed := case
    when not v_person.compact_schedule then true
    when v_state.is_on_grid and v_state.is_free and v_state.is_within_limit
    then v_state.is_available
  end;
  evidence := case
    when passed is false
    then jsonb_build_array(jsonb_build_object('table', 'staff', 'id', p_staff_id))
    else '[]'
  end;
  message := case
    when not v_person.compact_schedule
    then format('%s does not keep a compact schedule.', v_person.display_name)
    when passed is null then 'Not asked, because of another rule.'
    when passed then 'The compact schedule leaves it open.'
    else format(
      '%s keeps a compact schedule: on a day with an appointment only the first and the last of '
        'consecutive free starts are offered.', v_person.display_name
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
  if not v_has_begun then
    v_day_full_until := booking.day_is_full_until(
      p_tenant_id, p_staff_id, p_location_id, v_slot_id, p_at, v_end
    );
  end if;
  with own as (
    select h.*, row_number() over (order by h.expires_at) as place, count(*) over () as places
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id = v_slot_id
      and h.expires_at > v_now
  ),
  others as (
    select *
    from booking.holds_in_the_way(
      p_tenant_id, p_staff_id, p_location_id, v_slot_id, v_claim
    )
  ),
  barring as (
    select w.id, w.claim, w.expires_at from others w
    union all
    select o.id, o.claim, o.expires_at
    from own o
    where o.places + v_booked >= v_capacity
      and o.place <= o.places + v_booked - v_capacity + 1
    union all
    -- With these the day is full, until the day limit has room again.
    select h.id, h.claim, null
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id <> v_slot_id
      and h.expires_at > v_now and h.claim && v_days and v_day_full_until is not null
      and h.id not in (select w.id from others w)
  )
  select greatest(max(b.expires_at), v_day_full_until), coalesce(jsonb_agg(jsonb_build_object(
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

-- sql/20_calculator/longest_travel.sql

-- How far around a claim travel can matter. Reads only, refuses nothing.
create or replace function booking.longest_travel(p_tenant_id uuid) returns interval
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return (
    select coalesce(max(t.minutes), 0) * interval '1 minute'
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
  );
end
$$;

comment on function booking.longest_travel(uuid) is
  'The longest travel time between two places of a tenant; 0 where there is none.';

-- sql/20_calculator/published_bounds.sql

drop function booking.published_bounds;

-- Between which instants rows of availability_slots exist for each person and place: from the
-- location's today to the calendar's materialized_until, cut to the local dates asked for. With
-- p_beyond the days after those that can be booked all the same, to the location's today +
-- booking_horizon_days. Reads only.
create or replace function booking.published_bounds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_beyond boolean default false
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
    booking.first_instant(
      greatest(p_from, l.today, case when p_beyond then c.materialized_until + 1 end), l.zone
    ),
    booking.first_instant(
      least(p_to, case
        when p_beyond then l.today + l.booking_horizon_days else c.materialized_until
      end) + 1,
      l.zone
    )
  from booking.calendars c
  cross join (
    select loc.id, coalesce(loc.timezone, t.timezone) as zone, t.timezone as tenant_zone,
      t.booking_horizon_days,
      (v_now at time zone coalesce(loc.timezone, t.timezone))::date as today
    from booking.locations loc
    join booking.tenants t on t.id = loc.tenant_id
    where loc.tenant_id = p_tenant_id
  ) as l
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids);
end
$$;

comment on function booking.published_bounds(uuid, uuid[], date, date, boolean) is
  'For each person and place the first instant and the end of what is published, or (p_beyond) of
what is not though it can be booked.';

-- sql/20_calculator/travel_around.sql

-- Travel between places: for each pair that has a row in travel_times, in either direction, how
-- long it takes from the one to the other and back. A direction without a row of its own takes as
-- long as the other; pairs without a row are not told, and take no time. Seen from a slot at
-- other_location_id, an appointment at location_id bars minutes_to before its claim and
-- minutes_from after it (rule 4). Reads only, refuses nothing.
create or replace function booking.travel_around(p_tenant_id uuid) returns table (
  location_id uuid,
  other_location_id uuid,
  minutes_from integer,
  minutes_to integer
)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  -- Most tenants have one place, or places without a way between them.
  perform from booking.travel_times t where t.tenant_id = p_tenant_id;
  if not found then
    return;
  end if;

  return query
  select p.here, p.there,
    coalesce(own.minutes, back.minutes), coalesce(back.minutes, own.minutes)
  from (
    select t.from_location_id as here, t.to_location_id as there
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
    union
    select t.to_location_id, t.from_location_id
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
  ) as p
  left join booking.travel_times own
    on own.tenant_id = p_tenant_id
    and own.from_location_id = p.here and own.to_location_id = p.there
  left join booking.travel_times back
    on back.tenant_id = p_tenant_id
    and back.from_location_id = p.there and back.to_location_id = p.here;
end
$$;

comment on function booking.travel_around(uuid) is
  'Minutes from location_id to other_location_id and back, for each pair of a tenant''s places that
has a travel time.';

-- sql/30_slots/drain_refresh_queue.sql

-- Works off refresh_queue at once, by hand: like the job, one transaction a calendar, oldest first,
-- but those that failed lately, too. Each is tried once. A procedure that commits can neither pin
-- its search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_entry record;
  v_failed text[] := array[]::text[];
begin
  loop
    select q.tenant_id, q.staff_id into v_entry
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id)
      and q.tenant_id::text || q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    if not booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id) then
      v_failed := v_failed || (v_entry.tenant_id::text || v_entry.staff_id);
    end if;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/drop_beaten_holds.sql

-- Deletes the holds that live appointments have beaten, within these claims of these people: holds
-- of other slots that one overlaps or leaves no time to travel to or from, and of its own slot the
-- hold with its seat. Runs under the calendars' locks; the hold columns follow through the trigger
-- on slot_reservations.
create or replace function booking.drop_beaten_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- One look into the index of claims for each hold: to hash them by person would compare each with
-- each.
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id);
begin
  perform
  from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids);
  if not found then
    return;
  end if;

  with near as materialized (
    select h.id, h.staff_id, h.location_id, h.slot_id, h.seat, h.claim
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids)
      and exists (
        select
        from unnest(p_staff_ids, p_claims) as c(staff_id, claim)
        where c.staff_id = h.staff_id and h.claim && booking.widened(c.claim, v_reach)
      )
  )
  delete from booking.slot_reservations h
  using near n
  where h.tenant_id = p_tenant_id and h.id = n.id
    and exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = n.staff_id
        and a.claim && booking.widened(n.claim, v_reach)
        and upper(a.claim) > lower(n.claim) - v_reach and a.status <> 'cancelled'
        and (a.slot_id is distinct from n.slot_id or a.seat = n.seat)
        and n.claim && booking.barred_period(
          p_tenant_id, a.claim, a.location_id, n.location_id
        )
    );
end
$$;

comment on function booking.drop_beaten_holds(uuid, uuid[], tstzrange[]) is
  'Deletes the holds of p_staff_ids[i] around p_claims[i] that a live appointment bars.';

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
set enable_mergejoin = off
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

-- sql/30_slots/find_published_slots.sql

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

-- sql/30_slots/lock_calendars.sql

create or replace function booking.lock_calendars(p_tenant_id uuid, p_staff_ids uuid[])
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := p_staff_ids;
  v_staff_id uuid;
begin
  -- One person is the rule, and in order.
  if cardinality(v_staff_ids) is distinct from 1 then
    v_staff_ids := array(select distinct s.id from unnest(p_staff_ids) as s(id) order by s.id);
  end if;

  foreach v_staff_id in array v_staff_ids loop
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

-- The nightly rebuild, one step: publishes the next calendar whose night has not been done, and
-- returns 1, or 0 if there is none. A night is due from its tenant's local refresh_hour on, and
-- done when the horizon has moved since midnight; whatever moved it has rebuilt the calendar. One
-- on which nothing changed writes the new last day and deletes the past one. Calendars that
-- someone is writing are left to the next run, queued ones to the queue, where a calendar that
-- fails is put with its error.
create or replace function booking.refresh_due_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_calendar record;
  v_error text;
begin
  loop
    select c.tenant_id, c.staff_id into v_calendar
    from booking.tenants t
    join booking.calendars c on c.tenant_id = t.id
    -- The date on which it was done last: that of the last night, or today; not tomorrow, or the
    -- clock has been put back.
    where c.materialized_until - least(t.precompute_days, t.booking_horizon_days) not between
        ((v_now at time zone t.timezone) - t.refresh_hour * interval '1 hour')::date
        and (v_now at time zone t.timezone)::date
      and not exists (
        select from booking.refresh_queue q
        where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
      )
    limit 1
    for no key update of c skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
      return 1;
    exception when others then
      get stacked diagnostics v_error = message_text;
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
  end loop;
  return 0;
end
$$;

comment on function booking.refresh_due_calendar() is
  'Publishes the next calendar whose night is due (its tenant''s refresh_hour has come, local time);
returns 1, or 0 if there is none.';

-- The same for every calendar, at once, by hand, due or not; each in a transaction of its own.
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
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
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';

-- sql/30_slots/queue_failed.sql

-- Keeps the error of a calendar that could not be published, and when to try again: after 2, 4,
-- 8, … minutes, at most 64. Puts it into the queue if it is not there. Locks its entry.
create or replace function booking.queue_failed(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_reason text,
  p_error text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  insert into booking.refresh_queue as q (
    tenant_id, staff_id, reason, attempts, last_error, retry_at
  )
  select
    c.tenant_id, c.staff_id, p_reason, 1, p_error, booking.now() + interval '2 minutes'
  from booking.calendars c
  where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id
  on conflict (tenant_id, staff_id) do update
  set attempts = q.attempts + 1, last_error = excluded.last_error,
    retry_at = booking.now() + (2 ^ least(q.attempts + 1, 6)) * interval '1 minute';
end
$$;

comment on function booking.queue_failed(uuid, uuid, text, text) is
  'Queues a calendar that failed with that error, for a reason if it is not queued yet.';

-- sql/30_slots/refresh_around.sql

-- Refreshes the local dates on which these claims or busy times can make a difference: their own,
-- in every zone the tenant works in, widened by the longest claim and the longest travel time (a
-- slot that overlaps them may begin that much earlier), and one day more on either side, because
-- overnight pieces of working time hang their grid on the date before. Locks those calendars.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
create or replace function booking.refresh_around(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_periods tstzrange[],
  p_grid_stands boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
-- Planned once a session: to plan costs more than what is planned.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id) + make_interval(mins => (
    select coalesce(max(t.buffer_before_minutes + t.duration_minutes + t.buffer_after_minutes), 0)
    from booking.appointment_types t
    where t.tenant_id = p_tenant_id
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

  if cardinality(v_dates) = 1 then
    perform booking.refresh_slots(
      p_tenant_id, p_staff_ids, lower(v_dates[1]), upper(v_dates[1]) - 1
    );
  else
    perform booking.refresh_dates(p_tenant_id, p_staff_ids, v_dates);
  end if;
end
$$;

comment on function booking.refresh_around(uuid, uuid[], tstzrange[], boolean) is
  'Refreshes p_staff_ids[i] around p_periods[i]; a person may occur several times.';

-- sql/30_slots/refresh_dates.sql

-- Refreshes different local dates of different people of one tenant: what a statement changed, one
-- recalculation per stretch of dates, or one for all where that would be many (a bulk load is one
-- set-based pass). Locks those calendars, in staff_id order.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
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
    perform booking.refresh_slots(
      p_tenant_id, v_staff_ids, lower(v_dates), upper(v_dates) - 1
    );
  end loop;
end
$$;

comment on function booking.refresh_dates(uuid, uuid[], daterange[], boolean) is
  'Refreshes p_dates[i] (local dates) of p_staff_ids[i]; a person may occur several times.';

-- sql/30_slots/refresh_holds.sql

-- The hold columns of people's slots around these holds: what changes where nothing but holds has.
-- Holds never move a grid (rule 2), so the slots are taken as they are stored, and only those are
-- looked at that the claim of such a hold bars: it overlaps them, or leaves no time to travel
-- (rule 4). It writes what expected_slots says of them. Not for people with a day limit, whose
-- holds concern whole days (rule 5), nor for holds whose slot is on the grid no more:
-- refresh_around does those.
--
-- Claims that touch are one stretch, so that no slot is written for each of many holds. Runs under
-- the calendars' locks, which every writer of a hold has; refuses nothing.
create or replace function booking.refresh_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
-- Looks at indexes, whatever was in the tables when the plans were made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval := booking.longest_travel(p_tenant_id);
  v_reach interval;
  v_staff_id uuid;
  v_location_id uuid;
  v_claim tstzrange;
  v_holds booking.slot_reservations[];
begin
  -- How far from a claim a slot may begin that it bars.
  select v_way + interval '1 minute' * max(
    sh.buffer_before_minutes + sh.duration_minutes + sh.buffer_after_minutes
  )
  into v_reach
  from booking.slot_shapes sh
  where sh.tenant_id = p_tenant_id;

  for v_staff_id, v_location_id, v_claim in
    select c.staff_id, c.location_id, unnest(range_agg(c.claim))
    from unnest(p_staff_ids, p_location_ids, p_claims) as c(staff_id, location_id, claim)
    group by c.staff_id, c.location_id
  loop
    v_holds := array(
      select h
      from booking.slot_reservations h
      where h.tenant_id = p_tenant_id and h.staff_id = v_staff_id
        and h.claim && booking.widened(v_claim, v_reach + v_way)
    );

    update booking.availability_slots s
    set (seats_left, reserved_until, reserved_by_session) = (
        select greatest(s.capacity - o.booked - o.seats, 0),
          -- Free again once the holds of other slots are gone and, where attendees and holds fill
          -- it, as many of its own as leave one seat.
          greatest(o.others_expire_at, case
            when o.booked + o.seats >= s.capacity
            then o.own_expiries[least(o.seats, o.seats + o.booked - s.capacity + 1)]
          end),
          o.session_hash
        from (
          select
            -- What is free with one seat has nobody in it.
            case when s.is_available and s.capacity = 1 then 0 else (
              select count(*)::integer
              from booking.appointments a
              where a.tenant_id = s.tenant_id and a.slot_id = s.id and a.status <> 'cancelled'
            ) end as booked,
            count(*) filter (where h.slot_id = s.id)::integer as seats,
            array_agg(h.expires_at order by h.expires_at) filter (where h.slot_id = s.id)
              as own_expiries,
            max(h.expires_at) filter (where h.slot_id <> s.id) as others_expire_at,
            case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
              as session_hash
          from unnest(v_holds) as h
          where s.claim && case
            when v_way = interval '0' then h.claim
            else booking.barred_period(p_tenant_id, h.claim, h.location_id, s.location_id)
          end
        ) as o
      ),
      calculated_at = v_now
    where s.tenant_id = p_tenant_id and s.staff_id = v_staff_id
      and s.start_time > lower(v_claim) - v_reach and s.start_time < upper(v_claim) + v_reach
      and s.claim && case
        when v_way = interval '0' then v_claim
        else booking.barred_period(p_tenant_id, v_claim, v_location_id, s.location_id)
      end;
  end loop;
end
$$;

comment on function booking.refresh_holds(uuid, uuid[], uuid[], tstzrange[]) is
  'Writes the hold columns of the published slots of p_staff_ids[i] that a hold at p_location_ids[i]
with p_claims[i] bars; a person may occur several times.';

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
set enable_mergejoin = off
set enable_hashjoin = on
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
  do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0,
    retry_at = excluded.retry_at;
end
$$;

comment on function booking.refresh_or_queue(uuid, uuid[], text) is
  'Refreshes up to 20 calendars now, or puts more of them into refresh_queue with the reason.';

-- sql/30_slots/refresh_queued_calendar.sql

-- The queue's job, one step: publishes the calendar that has waited longest and returns 1, or 0 if
-- none is due. The entry's row is locked before the calendar and deleted in the same transaction,
-- so that a change that comes meanwhile queues anew. Entries that another worker has, and
-- calendars that someone is writing, are left to the next run. One try a transaction: whoever
-- wants to queue anew waits for no other calendar. One that fails keeps its error until its next
-- turn and stops no other.
create or replace function booking.refresh_queued_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_entry record;
begin
  select q.tenant_id, q.staff_id into v_entry
  from booking.refresh_queue q
  join booking.calendars c on c.tenant_id = q.tenant_id and c.staff_id = q.staff_id
  where q.retry_at <= booking.now()
  order by q.queued_at, q.tenant_id, q.staff_id
  limit 1
  for update of q skip locked
  for no key update of c skip locked;
  if not found then
    return 0;
  end if;
  perform booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id);
  return 1;
end
$$;

comment on function booking.refresh_queued_calendar() is
  'Publishes the next queued calendar, or keeps its error; returns 1, or 0 if none is due.';

-- For whoever has locked the entry. Returns whether the calendar is published now; else its error
-- is kept.
create or replace function booking.work_off_queued(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_error text;
begin
  perform booking.refresh_horizon(p_tenant_id, array[p_staff_id]);
  delete from booking.refresh_queue q
  where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id;
  return true;
exception when others then
  get stacked diagnostics v_error = message_text;
  perform booking.queue_failed(p_tenant_id, p_staff_id, 'refresh failed', v_error);
  return false;
end
$$;

comment on function booking.work_off_queued(uuid, uuid) is
  'Publishes a queued calendar and takes it off the queue; returns whether that worked.';

-- sql/30_slots/refresh_slots.sql

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

-- sql/30_slots/require_travel_time.sql

-- No person is in two places at a time, nor on the way between them: what no constraint can say of
-- raw writes. Raises 23P01, as an overlap does, if one of these live appointments leaves less than
-- the travel time between its claim and that of another live appointment of the same person
-- elsewhere. Runs under the calendars' locks, which all have who could write the other one. Reads
-- only.
create or replace function booking.require_travel_time(
  p_tenant_id uuid,
  p_appointment_ids uuid[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- One look into the index of claims for each appointment: to join by person would compare each with
-- each.
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_reach interval := booking.longest_travel(p_tenant_id);
  v_conflict record;
begin
  if v_reach = interval '0' then
    return;
  end if;

  select a.start_time, l.name as place, o.name as other_place,
    t.minutes_from, t.minutes_to, b.id as other_id
  into v_conflict
  from booking.appointments a
  cross join lateral (
    select b.id, b.location_id, b.claim
    from booking.appointments b
    where b.tenant_id = p_tenant_id and b.staff_id = a.staff_id
      and b.claim && booking.widened(a.claim, v_reach)
      and upper(b.claim) > lower(a.claim) - v_reach and b.status <> 'cancelled'
    -- Found by claim and nothing else, whatever the planner expects of places.
    offset 0
  ) as b
  join booking.travel_around(p_tenant_id) t
    on t.location_id = b.location_id and t.other_location_id = a.location_id
  join booking.locations l on l.tenant_id = p_tenant_id and l.id = a.location_id
  join booking.locations o on o.tenant_id = p_tenant_id and o.id = b.location_id
  where a.tenant_id = p_tenant_id and a.id = any (p_appointment_ids)
    and a.status <> 'cancelled' and b.location_id <> a.location_id
    and a.claim && tstzrange(
      lower(b.claim) - t.minutes_to * interval '1 minute',
      upper(b.claim) + t.minutes_from * interval '1 minute'
    )
  order by a.start_time
  limit 1;
  if not found then
    return;
  end if;

  raise exception using
    errcode = 'exclusion_violation',
    message = format(
      'start_time %s at %s leaves no time to travel to or from another appointment of this person',
      booking.iso_time(v_conflict.start_time), v_conflict.place
    ),
    detail = format(
      'Appointment %s is at %s: %s minutes from there, %s minutes to it.',
      v_conflict.other_id, v_conflict.other_place, v_conflict.minutes_from, v_conflict.minutes_to
    ),
    hint = 'Travel times stand in booking.travel_times.';
end
$$;

comment on function booking.require_travel_time(uuid, uuid[]) is
  'Raises exclusion_violation (23P01) where one of these live appointments is too near to one at
another location (rule 4; design, section 5).';

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
-- of rate_limits, where the transaction may write. Leaves no audit row, as nothing was attempted;
-- of some searches the workers remember that there was one (count_search).
create or replace function booking.answer(p_function text, p_request jsonb) returns json
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_seconds integer := booking.seconds_to_wait('read');
  v_answer jsonb;
  -- Of lists, which are long: as text, and copied no more often than need be.
  v_body text;
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

  for v_try in 1..2 loop
    begin
      case p_function
        when 'get_tenant' then
          v_answer := booking.get_tenant(p_request);
        when 'get_available_slots' then
          v_body := booking.get_available_slots(p_request);
        when 'get_available_times' then
          v_answer := booking.get_available_times(p_request);
        when 'get_next_available' then
          v_body := booking.get_next_available(p_request);
        when 'get_reservations' then
          v_answer := booking.get_reservations(p_request);
        when 'explain_availability' then
          v_answer := booking.explain_availability(p_request);
      end case;
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics
          v_code = constraint_name,
          v_message = message_text,
          v_details = pg_exception_detail,
          v_hint = pg_exception_hint;
        return booking.refusal(v_code, v_message, v_details, v_hint);
      when syntax_error_or_access_rule_violation or internal_error then
        -- Our functions were replaced while this ran; the second try runs what is there now.
        if v_try = 2 then
          raise;
        end if;
      when query_canceled or lock_not_available then
        -- Out of time: an error would take the count back.
        return booking.refusal(
          'busy', 'This takes too long at the moment.', null, 'Ask for less, or try again.', 1
        );
    end;
  end loop;

  if v_body is null then
    v_body := (jsonb_build_object('success', true) || v_answer)::text;
  end if;
  if current_setting('request.method', true) in ('GET', 'HEAD') then
    v_cache_control := booking.cache_control((
      select t.cache_seconds
      from booking.tenants t
      where t.id = coalesce(p_request ->> 'tenant_id', v_answer ->> 'id')::uuid
    ));
    v_etag := format('"%s"', md5(v_body));
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
  return v_body::json;
end
$$;

comment on function booking.answer(text, jsonb) is
  'Answers the reading function of that name in "api": {"success": true, …} or a refusal, with
Cache-Control and ETag; null and status 304 where the caller has that already.';

-- sql/40_booking/asked_people.sql

-- Whose slots a listing asks for: the person named, those who offer the service, those who can have
-- slots at the place, or all of these; null is everyone. Reads only, refuses nothing.
create or replace function booking.asked_people(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_type_id uuid,
  p_location_id uuid
) returns uuid[]
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := case when p_staff_id is not null then array[p_staff_id] end;
begin
  if p_type_id is not null then
    -- Others may offer the same shape as another service.
    v_staff_ids := array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = p_tenant_id and o.appointment_type_id = p_type_id
        and (p_staff_id is null or o.staff_id = p_staff_id)
    );
  end if;

  if p_location_id is not null then
    v_staff_ids := array(
      select p.id
      from unnest(booking.people_at(p_tenant_id, array[p_location_id])) as p(id)
      where v_staff_ids is null or p.id = any (v_staff_ids)
    );
  end if;
  return v_staff_ids;
end
$$;

comment on function booking.asked_people(uuid, uuid, uuid, uuid) is
  'The people whose slots are asked for by a person, a service and a place (null: any); null:
everyone.';

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
--   no such name    (42…, or XX000: cache lookup failed)
--                                                     once more: another release has just come
--   overlap         (23P01), row gone (23503)         slot_taken or appointment_conflict, without
--                                                     the detail, which shows the other's time
--
-- Any other error is a fault and passes through. A refusal is an answer and not an error because an
-- error would take its own audit row with it. Locks, in this order: the session (reserving only),
-- the customer (booking only) or the appointment's row, then calendars by staff_id. The lock
-- timeout lies below the statement timeouts that callers have (Supabase: 3 s for anon): waiting in
-- vain is on record, too. It counts anew for each wait, so running out of time, which comes once,
-- is caught as well.
--
-- Calls are counted before anything else; what is too many is refused and leaves no audit row, or a
-- flood would fill the disk. The count is kept whatever becomes of the call; reserving times and
-- slots is one count.
--
-- Runs as the owner because callers may touch no table. Who they are, token claims say; each worker
-- asks before it does anything. Read-only transactions (GET) fail with 25006 at once: secrets must
-- not stand in an address, and which write fails first would tell what is free.
create or replace function booking.attempt(p_action text, p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
-- Plans are made once a session, and not for what they are first asked.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
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

  v_seconds := booking.seconds_to_wait(
    case p_action when 'reserve_time' then 'reserve_slot' else p_action end
  );
  if v_seconds > 0 then
    return booking.refuse_calls(v_seconds);
  end if;

  if v_request ->> 'appointment_id' is not null then
    v_appointment := booking.find_appointment(v_request);
  end if;
  if v_appointment.tenant_id is not null then
    v_request := v_request || jsonb_build_object('tenant_id', v_appointment.tenant_id);
  end if;
  if v_request ->> 'slot_id' is not null then
    v_slot := booking.find_slot(v_request, v_session_hash);
  end if;

  v_tenant_id := coalesce(v_appointment.tenant_id, v_slot.tenant_id);
  if v_tenant_id is null then
    if booking.caller_is_member((v_request ->> 'tenant_id')::uuid) then
      -- A member's own tenant is known without an appointment or slot; a stranger's word is not.
      v_tenant_id := (v_request ->> 'tenant_id')::uuid;
    elsif p_action = 'reserve_time' then
      -- Whoever reserves a time names a tenant and no slot.
      select t.id into v_tenant_id
      from booking.tenants t
      where t.id = (v_request ->> 'tenant_id')::uuid;
    end if;
  end if;

  -- Tells the triggers that this is no direct write.
  perform set_config('booking.is_audited', 'on', true);

  for v_try in 1..2 loop
    v_code := null;
    begin
      case p_action
        when 'reserve_slot' then
          v_answer := booking.reserve_slot(v_slot, v_session_hash, v_request);
        when 'reserve_time' then
          v_answer := booking.reserve_time(v_session_hash, v_request);
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
      when syntax_error_or_access_rule_violation or internal_error then
        -- Our functions were replaced while this ran; the second try runs what is there now.
        if v_try = 2 then
          raise;
        end if;
      when unique_violation or exclusion_violation or foreign_key_violation then
        v_code := case p_action
          when 'reserve_slot' then 'slot_taken'
          when 'reserve_time' then 'slot_taken'
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
    appointment_id, staff_id, details
  )
  values (
    coalesce(v_tenant_id, v_appointment.tenant_id, c_unknown_tenant), p_action,
    case when v_code is null then 'success' else 'refused' end, v_code,
    booking.caller_id(), coalesce(booking.caller_role(), session_user), v_session_hash,
    booking.address_hash(), coalesce(p_request ->> 'slot_id', v_answer ->> 'slot_id')::uuid,
    coalesce(p_request ->> 'appointment_id', v_answer ->> 'appointment_id')::uuid,
    coalesce(
      v_slot.staff_id, v_appointment.staff_id,
      case when v_tenant_id is not null then (v_request ->> 'staff_id')::uuid end,
      (v_answer ->> 'staff_id')::uuid
    ),
    -- What it was about, for analytics.
    case when p_action in ('reserve_slot', 'reserve_time', 'create_appointment')
      then jsonb_strip_nulls(jsonb_build_object(
        'appointment_type_id', (
          select ty.id
          from booking.appointment_types ty
          where ty.tenant_id = v_tenant_id and ty.code = v_request ->> 'appointment_type'
        ),
        'location_id', coalesce(v_slot.location_id::text, v_answer ->> 'location_id'),
        'start_time', coalesce(booking.iso_time(v_slot.start_time), v_answer ->> 'start_time')
      ))
      else '{}'
    end
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
-- The price is what the hold quoted; where it quoted none for this service, what that costs now.
-- It stays, whatever becomes of the tenant's rules or of the appointment's time. Where the service
-- costs something and wants payment first, the appointment is pending until payment_due_at, and
-- takes its time all the same.
--
-- Locks the customer, where the tenant limits their open appointments, then the calendar; of a
-- replay only the appointment's row. Refuses: not_authenticated, invalid_request, slot_not_found,
-- reservation_expired, customer_limit_reached, appointment_conflict, idempotency_conflict.
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
  v_due_minutes integer;
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
      perform booking.lock_customer(v_hold.tenant_id, v_caller_id, p_request -> 'user_data');
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

  perform booking.require_within_customer_limit(
    v_hold.tenant_id, v_caller_id, p_request -> 'user_data'
  );

  v_type := booking.offered_type(
    v_hold.tenant_id, v_hold.staff_id, v_hold.shape_id, p_request ->> 'appointment_type', v_hold
  );

  select s.* into v_state
  from booking.current_slot(
    v_hold.tenant_id, v_hold.staff_id, v_hold.location_id, v_type.shape_id, v_hold.start_time
  ) s;
  if not coalesce(v_state.is_free, false) then
    perform booking.refuse_changed();
  end if;

  -- The appointment takes the hold's time, and its trigger publishes both.
  perform set_config('booking.refresh_follows', 'on', true);
  delete from booking.slot_reservations h
  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;
  perform set_config('booking.refresh_follows', '', true);

  select t.payment_due_minutes into v_due_minutes
  from booking.tenants t
  where t.id = v_hold.tenant_id;
  if v_type.id is distinct from v_hold.appointment_type_id then
    v_hold.quoted_price_cents := booking.price_of(
      v_hold.tenant_id, v_type.id, v_hold.staff_id, v_hold.location_id, v_hold.start_time
    );
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
    case when payment.is_due then v_now + v_due_minutes * interval '1 minute' end,
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
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return exists (
    select from booking.appointments a
    where a.idempotency_key = p_key and a.customer_id is not distinct from booking.caller_id()
      and (p_tenant_id is null or a.tenant_id = p_tenant_id)
  );
end
$$;

comment on function booking.was_booked(uuid, text) is
  'Whether the caller has booked in this tenant (null: in any) with this idempotency_key.';

-- What the customer gets to know. The token is shown here and never again.
create or replace function booking.booked(p_appointment booking.appointments, p_token text)
returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_is_due boolean := p_appointment.status = 'pending'
    and p_appointment.payment_status in ('pending', 'failed');
begin
  return jsonb_build_object(
    'appointment_id', p_appointment.id,
    'status', p_appointment.status,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'price_cents', p_appointment.price_cents,
    'currency', p_appointment.currency,
    'manage_token', p_token,
    'payment_required', v_is_due,
    'payment_due_at', booking.iso_time(p_appointment.payment_due_at),
    'payment_url', case when v_is_due then booking.payment_url(p_appointment) end
  );
end
$$;

comment on function booking.booked(booking.appointments, text) is
  'The answer to a booking: the appointment and its manage_token.';

-- sql/40_booking/current_slot.sql

-- calculate_slot for whoever holds the calendar's lock, and cheaper: what the calculator said of
-- this calendar is published (promise P2), and under the lock it stays so. A published slot that is
-- available is on the grid, free and within the limit; what takes time is asked all the same, since
-- that alone could make two people meet. Everything else, and a calendar that waits in
-- refresh_queue, is the calculator's to say. Reads only, refuses nothing, does not ask who holds
-- what.
create or replace function booking.current_slot(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_shape_id uuid,
  p_start_time timestamptz
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
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval := booking.longest_travel(p_tenant_id);
begin
  return query
  select s.end_time, s.claim, s.capacity,
    case when s.capacity = 1 then 0 else (
      select count(*)::integer
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.slot_id = s.id and a.status <> 'cancelled'
    ) end,
    true, true, true, true,
    coalesce(s.bookable_from <= v_now, true) and v_now < s.bookable_until
      and (p_start_time at time zone z.zone)::date
        <= (v_now at time zone z.zone)::date + t.booking_horizon_days
  from booking.availability_slots s
  join booking.tenants t on t.id = s.tenant_id
  join booking.staff p on p.tenant_id = s.tenant_id and p.id = s.staff_id
  join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
  cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
  where s.tenant_id = p_tenant_id and s.is_available
    and t.is_active and p.is_active and l.is_active
    and s.id = booking.slot_id(
      p_tenant_id, p_staff_id, p_location_id, p_start_time, p_shape_id
    )
    and not exists (
      select
      from booking.refresh_queue q
      where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id
    )
    and not exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id
        and a.claim && booking.widened(s.claim, v_way)
        and upper(a.claim) > lower(s.claim) - v_way and a.status <> 'cancelled'
        and (s.capacity = 1 or a.slot_id is distinct from s.id)
        and s.claim && booking.barred_period(
          p_tenant_id, a.claim, a.location_id, p_location_id
        )
    )
    and not exists (
      select
      from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.staff_id = p_staff_id
        and tstzrange(b.start_time, b.end_time) && s.claim and b.end_time > lower(s.claim)
    );
  if found then
    return;
  end if;

  return query
  select *
  from booking.calculate_slot(
    p_tenant_id, p_staff_id, p_location_id, p_shape_id, p_start_time
  );
end
$$;

comment on function booking.current_slot(uuid, uuid, uuid, uuid, timestamptz) is
  'What calculate_slot says of one start, read from availability_slots where that is sure; ask under
the calendar''s lock.';

-- sql/40_booking/customer_limit.sql

-- At most so many open appointments per customer: tenants.max_open_appointments_per_customer (null:
-- any number). Open is pending or confirmed and not over yet. create_appointment keeps the limit;
-- what the tenant writes directly counts, but is never refused.
--
-- The lock is on the customer and not on their appointments, because two bookings at once may be in
-- two people's calendars and see nothing of each other. First lock_customer, then the calendars,
-- then look in a statement of its own.

-- Whom a booking is for, for the limit: the user who is signed in, else the guest by the email
-- address that was given (trimmed, in any case), or without one by the digits of the phone number.
-- Never by more than one of them: what a user writes into a form makes them nobody else.
create or replace function booking.customer_key(p_customer_id uuid, p_customer jsonb)
returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(
    'user ' || p_customer_id,
    'email ' || nullif(lower(btrim(p_customer ->> 'email')), ''),
    'phone ' || nullif(regexp_replace(p_customer ->> 'phone', '[^0-9]', '', 'g'), '')
  )
$$;

comment on function booking.customer_key(uuid, jsonb) is
  'Whom an appointment is for: the user, else the guest by email address, else by phone number; null
where nothing tells.';

-- Lets the bookings of one customer of a tenant come one after the other until the transaction
-- ends, where the tenant has a limit. Before any calendar. An old snapshot would count the bookings
-- of yesterday, and no lock could tell: REPEATABLE READ raises 25000.
create or replace function booking.lock_customer(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_customer jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform
  from booking.tenants t
  where t.id = p_tenant_id and t.max_open_appointments_per_customer is not null;
  if found then
    if current_setting('transaction_isolation') = 'repeatable read' then
      raise exception using
        errcode = 'invalid_transaction_state',
        message = 'booking where max_open_appointments_per_customer is set needs a READ COMMITTED '
          'transaction',
        detail = 'This one is REPEATABLE READ.';
    end if;
    perform pg_advisory_xact_lock(hashtextextended(
      p_tenant_id || ' ' || booking.customer_key(p_customer_id, p_customer), 0
    ));
  end if;
end
$$;

comment on function booking.lock_customer(uuid, uuid, jsonb) is
  'Makes bookings of the same customer wait for this transaction, where the tenant has a limit.';

-- Refuses customer_limit_reached where the customer has as many open appointments as the tenant
-- allows. Guests' are looked for among all that lie ahead, person by person, as calendars are read.
create or replace function booking.require_within_customer_limit(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_customer jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_most integer := (
    select t.max_open_appointments_per_customer from booking.tenants t where t.id = p_tenant_id
  );
  v_open integer;
begin
  if v_most is null then
    return;
  end if;

  if p_customer_id is not null then
    select count(*) into v_open
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.customer_id = p_customer_id
      and a.status in ('pending', 'confirmed') and a.end_time > v_now;
  else
    select count(*) into v_open
    from booking.calendars c
    cross join lateral (
      select
      from booking.appointments a
      where a.tenant_id = c.tenant_id and a.staff_id = c.staff_id and a.customer_id is null
        and a.status <> 'cancelled' and a.status in ('pending', 'confirmed')
        and upper(a.claim) > v_now and a.end_time > v_now
        and booking.customer_key(a.customer_id, a.customer)
          = booking.customer_key(p_customer_id, p_customer)
      offset 0
    ) as a
    where c.tenant_id = p_tenant_id;
  end if;

  if v_open >= v_most then
    perform booking.refuse(
      'customer_limit_reached',
      format(
        'This customer has %s open %s here already; no more than %s can be booked ahead.',
        v_open, case v_open when 1 then 'appointment' else 'appointments' end, v_most
      ),
      null, 'Cancel one of them, or book again once one of them is over.'
    );
  end if;
end
$$;

comment on function booking.require_within_customer_limit(uuid, uuid, jsonb) is
  'Refuses a booking (customer_limit_reached) of whom has the most open appointments that the tenant
allows.';

-- sql/40_booking/day_is_full_until.sql

-- Until when holds of other slots fill a local day that [p_start_time, p_end_time) touches, so that
-- the person's day limit leaves no room for this one (rule 5); null where they do not. Holds of one
-- slot count once, until the last of them expires, and not beside its attendees, who are one as
-- well. What live appointments alone fill is not told: that is the calculator's business. Reads
-- only.
create or replace function booking.day_is_full_until(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_slot_id uuid,
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_without_appointment_id uuid default null
) returns timestamptz
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
begin
  -- Few people have a limit.
  perform
  from booking.staff s
  where s.tenant_id = p_tenant_id and s.id = p_staff_id and s.max_appointments_per_day > 0;
  if not found then
    return null;
  end if;

  return (
    with place as (
      select coalesce(l.timezone, t.timezone) as zone, s.max_appointments_per_day
      from booking.staff s
      join booking.tenants t on t.id = s.tenant_id
      join booking.locations l on l.tenant_id = s.tenant_id and l.id = p_location_id
      where s.tenant_id = p_tenant_id and s.id = p_staff_id and s.max_appointments_per_day > 0
    ),
    days as (
      select p.max_appointments_per_day, tstzrange(
        booking.first_instant(local_date, p.zone),
        booking.first_instant(local_date + interval '1 day', p.zone)
      ) as period
      from place p
      cross join generate_series(
        (p_start_time at time zone p.zone)::date::timestamp,
        ((p_end_time - interval '1 microsecond') at time zone p.zone)::date::timestamp,
        interval '1 day'
      ) as local_date
    ),
    rooms as (
      select d.period, d.max_appointments_per_day - (
        select count(distinct coalesce(a.slot_id, a.id))
        from booking.appointments a
        where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.claim && d.period
          and tstzrange(a.start_time, a.end_time) && d.period
          and upper(a.claim) > lower(d.period) and a.status <> 'cancelled'
          and a.id is distinct from p_without_appointment_id
      ) as room
      from days d
    )
    select max(last.expires_at)
    from rooms r
    cross join lateral (
      select max(h.expires_at) as expires_at
      from booking.slot_reservations h
      join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
      where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id <> p_slot_id
        and h.expires_at > v_now
        and tstzrange(
          h.start_time, h.start_time + sh.duration_minutes * interval '1 minute'
        ) && r.period
        and not exists (
          select
          from booking.appointments a
          where a.tenant_id = p_tenant_id and a.slot_id = h.slot_id and a.status <> 'cancelled'
            and a.id is distinct from p_without_appointment_id
        )
      group by h.slot_id
      order by 1 desc
      offset greatest(r.room, 1) - 1
      limit 1
    ) as last
    where r.room > 0
  );
end
$$;

comment on function booking.day_is_full_until(
  uuid, uuid, uuid, uuid, timestamptz, timestamptz, uuid
) is
  'Until when holds of other slots leave a slot no room in a person''s max_appointments_per_day;
null: they do not.';

-- sql/40_booking/find_service_slots.sql

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
  if p_capacity = 1 then
    return 1;
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
-- In the frame of booking.answer.
create or replace function booking.get_available_slots(p_request jsonb) returns text
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
  return booking.list_slots(
    p_request, v_after_start, v_after_id, v_limit, 'next_page_token'
  );
end
$$;

comment on function booking.get_available_slots(jsonb) is
  'Worker of api.get_available_slots: slots that can be booked now, of at most 62 days.';

-- sql/40_booking/get_available_times.sql

-- The times at which a service can be had of anybody: the slots that get_available_slots lists, by
-- start and place, with the number of people to choose from and what they cost. All in one answer:
-- where more slots would have to be looked at, or more days beyond the published ones calculated,
-- than one call may take, it is refused. Where no rule asks for the person or the load, all of a
-- start and place cost the same and are asked for once. Refuses: invalid_request, range_too_large,
-- not_found. Counts the search, and else reads only, in the frame of booking.answer.
create or replace function booking.get_available_times(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 62;
  -- One person's day in one shape takes a fifth of a millisecond, at a quarter-hour's step.
  c_most_days_calculated constant integer := 2000;
  c_most_slots constant integer := 50000;
  c_most_slots_by_person constant integer := 10000;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_first_date date := (p_request ->> 'start_date')::date;
  v_last_date date := (p_request ->> 'end_date')::date;
  v_type booking.appointment_types;
  v_prices_differ boolean;
  v_most_slots integer;
  v_times jsonb;
  v_searched_until timestamptz;
begin
  perform booking.require_dates(v_first_date, v_last_date, c_most_days);
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_location(v_tenant_id, v_location_id);
  v_type := booking.require_type(v_tenant_id, p_request ->> 'appointment_type');

  v_prices_differ := exists (
    select
    from booking.price_rules r
    where r.tenant_id = v_tenant_id
      and (r.appointment_type_id is null or r.appointment_type_id = v_type.id)
      and (
        r.staff_id is not null or r.min_load_percent is not null or r.max_load_percent is not null
      )
  );
  v_most_slots := case when v_prices_differ then c_most_slots_by_person else c_most_slots end;

  with found as materialized (
    select f.*
    from booking.find_service_slots(
      v_tenant_id, v_type, v_location_id, v_first_date, v_last_date, null, c_most_days_calculated,
      v_most_slots + 1
    ) f
  ),
  -- Each start at each place, or of each person there where it matters who.
  priced as materialized (
    select
      f.start_time, f.end_time, f.duration_minutes, f.location_id, count(*) as people,
      (array_agg(f.staff_id))[1] as staff_id, row_number() over () as position
    from found f
    where f.id is not null
    group by f.start_time, f.end_time, f.duration_minutes, f.location_id,
      case when v_prices_differ then f.staff_id end
  ),
  prices as materialized (
    select p.position, p.price_cents
    from (
      select
        array_agg(f.staff_id order by f.position) as staff_ids,
        array_agg(f.location_id order by f.position) as location_ids,
        array_agg(f.start_time order by f.position) as start_times
      from priced f
      -- Else it is refused, and nobody pays for prices.
      where (select count(*) from found) <= v_most_slots
    ) as f
    cross join lateral booking.slot_prices(
      v_tenant_id, v_type.id, f.staff_ids, f.location_ids, f.start_times
    ) p
  ),
  times as (
    select f.start_time, f.end_time, f.duration_minutes, f.location_id,
      sum(f.people) as free_staff, min(p.price_cents) as lowest, max(p.price_cents) as highest
    from priced f
    join prices p on p.position = f.position
    group by f.start_time, f.end_time, f.duration_minutes, f.location_id
  )
  select
    coalesce(jsonb_agg(
      jsonb_build_object(
        'start_time', booking.iso_time(t.start_time),
        'end_time', booking.iso_time(t.end_time),
        'duration_minutes', t.duration_minutes,
        'location_id', t.location_id,
        'free_staff', t.free_staff,
        'lowest_price_cents', t.lowest,
        'highest_price_cents', t.highest,
        'currency', v_type.currency
      )
      order by t.start_time, t.location_id
    ), '[]'),
    (
      select f.start_time
      from (select f.*, row_number() over () as number from found f) as f
      where f.id is null or f.number > v_most_slots
      order by f.number
      limit 1
    )
  into v_times, v_searched_until
  from times t;

  if v_searched_until is not null then
    perform booking.refuse(
      'range_too_large',
      format(
        'start_date to end_date is too much for one answer: it would go until %s.',
        booking.iso_time(v_searched_until)
      ),
      null, 'Ask for fewer days at a time, or name a place (location_id).'
    );
  end if;
  perform booking.count_search(p_request, v_times <> '[]');
  return jsonb_build_object('times', v_times);
end
$$;

comment on function booking.get_available_times(jsonb) is
  'Worker of api.get_available_times: starts of a service, each with how many people are free.';

-- sql/40_booking/get_next_available.sql

drop function booking.get_next_available;

-- The first free times from an instant on, over all people or one. Refuses: invalid_request,
-- not_found. In the frame of booking.answer.
create or replace function booking.get_next_available(p_request jsonb) returns text
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_limit integer := coalesce((p_request ->> 'max_results')::integer, 5);
  v_from timestamptz := (p_request ->> 'from_time')::timestamptz;
begin
  perform booking.require_between('max_results', v_limit, 1, 100);
  perform booking.require_time('from_time', v_from);
  return booking.list_slots(p_request, v_from, null, v_limit, 'searched_until');
end
$$;

comment on function booking.get_next_available(jsonb) is
  'Worker of api.get_next_available: the first slots that can be booked now, by start_time.';

-- sql/40_booking/holds_in_the_way.sql

-- Live holds that leave no place for a slot: holds of other slots of the same person that its claim
-- overlaps, or from which there is no time to travel (rule 4, holds read as appointments). One
-- predicate for reserving, moving and explaining; what is published of it is reserved_until
-- (expected_slots). Reads only; ask under the calendar's lock.
create or replace function booking.holds_in_the_way(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_slot_id uuid,
  p_claim tstzrange
) returns setof booking.slot_reservations
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_reach interval := booking.longest_travel(p_tenant_id);
begin
  return query
  select h.*
  from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
    and h.claim && booking.widened(p_claim, v_reach)
    and h.slot_id <> p_slot_id and h.expires_at > v_now
    and p_claim && booking.barred_period(p_tenant_id, h.claim, h.location_id, p_location_id);
end
$$;

comment on function booking.holds_in_the_way(uuid, uuid, uuid, uuid, tstzrange) is
  'Live holds of other slots of a person that bar a claim at a place (design, section 4).';

-- sql/40_booking/list_slots.sql

drop function booking.list_slots;

-- What get_available_slots and get_next_available have in common: which slots are asked for, and
-- how they are told. tenant_id, staff_id, location_id and appointment_type must name something
-- public (not_found, invalid_request); a duration that nothing has finds nothing. With
-- appointment_type each slot has its price of this moment (booking.slot_prices). Days beyond the
-- published ones are calculated, no more in a call than takes a fraction of a second. Counts the
-- search, and else reads only.
--
-- The body is put together as text: a jsonb of each of a thousand slots, or a function that makes
-- JSON, takes several times as long as finding them, and every copy of the whole can be felt. None
-- of it needs escaping: ids, numbers, times, and a currency, which is three capitals.
--
-- p_rest names the one key that says where the rest begins, and the answer is complete without it:
-- "next_page_token", the last slot told or where the search ended, or "searched_until", only that.
create or replace function booking.list_slots(
  p_request jsonb,
  p_after_start timestamptz,
  p_after_id uuid,
  p_limit integer,
  p_rest text
) returns text
language plpgsql volatile parallel unsafe
set search_path = ''
-- Planning anew would take as long as finding a few slots.
set plan_cache_mode = force_generic_plan
as $$
declare
  -- One person's day in one shape takes a fifth of a millisecond, at a quarter-hour's step.
  c_most_days constant integer := 1500;
  c_no_slot constant uuid := uuid '00000000-0000-0000-0000-000000000000';
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_duration_minutes integer := (p_request ->> 'duration_minutes')::integer;
  v_code text := p_request ->> 'appointment_type';
  v_type booking.appointment_types;
  v_staff_ids uuid[];
  v_shape_ids uuid[];
  v_slots text;
  v_count bigint;
  v_searched_until text;
  v_page_token text;
begin
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_between('duration_minutes', v_duration_minutes, 1, 1440);
  if v_staff_id is not null then
    perform
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = v_staff_id and s.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such person (staff_id).');
    end if;
  end if;
  perform booking.require_location(v_tenant_id, v_location_id);

  if v_code is not null then
    v_type := booking.require_type(v_tenant_id, v_code);
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

  v_staff_ids := booking.asked_people(v_tenant_id, v_staff_id, v_type.id, v_location_id);
  if cardinality(v_staff_ids) = 0 or cardinality(v_shape_ids) = 0 then
    perform booking.count_search(p_request, false);
    return '{"success":true,"slots":[]}';
  end if;

  -- One more than asked for tells whether there is a next page.
  with found as materialized (
    select o.*
    from booking.find_open_slots(
      v_tenant_id, v_staff_ids, v_location_id, v_shape_ids,
      (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date,
      p_after_start, p_after_id, p_limit + 1, c_most_days
    ) with ordinality as o
  ),
  -- By position.
  prices as materialized (
    select array_agg(p.price_cents order by p.position) as price_cents
    from (
      select
        array_agg(f.staff_id order by f.ordinality) as staff_ids,
        array_agg(f.location_id order by f.ordinality) as location_ids,
        array_agg(f.start_time order by f.ordinality) as start_times
      from found f
    ) as f
    cross join lateral booking.slot_prices(
      v_tenant_id, v_type.id, f.staff_ids, f.location_ids, f.start_times
    ) p
  )
  select
    string_agg(
      concat(
        '{"id":"', f.id, '","staff_id":"', f.staff_id,
        '","start_time":"', booking.iso_time(f.start_time),
        '","end_time":"', booking.iso_time(f.end_time),
        '","duration_minutes":', f.duration_minutes, ',"location_id":"', f.location_id,
        '","seats_left":', f.seats_left,
        case when v_type.id is not null then concat(
          ',"price_cents":' || (select p.price_cents from prices p)[f.ordinality],
          ',"currency":"' || v_type.currency || '"'
        ) end,
        '}'
      ), ',' order by f.ordinality
    ) filter (where f.id is not null and f.ordinality <= p_limit),
    count(f.id),
    max(booking.iso_time(f.start_time)) filter (where f.id is null),
    max(concat(booking.iso_time(f.start_time), '_', f.id)) filter (where f.ordinality = p_limit)
  into v_slots, v_count, v_searched_until, v_page_token
  from found f;

  perform booking.count_search(p_request, v_count > 0 or v_searched_until is not null);
  return concat(
    '{"success":true,"slots":[', v_slots, ']', ',"' || p_rest || '":"' || case
      when p_rest = 'searched_until' then v_searched_until
      when v_count > p_limit then v_page_token
      else v_searched_until || '_' || c_no_slot
    end || '"', '}'
  );
end
$$;

comment on function booking.list_slots(jsonb, timestamptz, uuid, integer, text) is
  'The body of an answer, JSON: the slots that a request asks for, after the given start and id, and
p_rest where there are more: next_page_token, or searched_until (UTC) where days after it have not
been calculated.';

-- sql/40_booking/lock_session.sql

-- The lock of a session that reserves, until the transaction ends: two calls of one session must
-- not pass max_holds_per_session together, nor get two people for one time. Nobody else waits for
-- it. Before any calendar; taken again it costs nothing.
create or replace function booking.lock_session(p_tenant_id uuid, p_session_hash bytea)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(
    p_tenant_id::text || encode(p_session_hash, 'hex'), 0
  ));
end
$$;

comment on function booking.lock_session(uuid, bytea) is
  'Makes other reservations of the same session wait until the transaction ends.';

-- sql/40_booking/offered_type.sql

-- Whether slots of two shapes take the same time; classes never share.
create or replace function booking.have_same_claims(
  p_tenant_id uuid,
  p_shape_id uuid,
  p_other_shape_id uuid
) returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return exists (
    select
    from booking.slot_shapes a
    join booking.slot_shapes b on b.tenant_id = a.tenant_id
    where a.tenant_id = p_tenant_id and a.id = p_shape_id and b.id = p_other_shape_id
      and not a.is_group and not b.is_group
      and a.duration_minutes = b.duration_minutes
      and a.buffer_before_minutes = b.buffer_before_minutes
      and a.buffer_after_minutes = b.buffer_after_minutes
  );
end
$$;

comment on function booking.have_same_claims(uuid, uuid, uuid) is
  'True for two single shapes of equal duration and buffers.';

-- sql/40_booking/price_of.sql

-- What a service costs at one slot at this moment: what a listing would say (booking.slot_prices).
-- Holds quote it, and a quote is kept. Null for no service. Reads only; refuses nothing.
create or replace function booking.price_of(
  p_tenant_id uuid,
  p_type_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_start_time timestamptz
) returns integer
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_type_id is null then
    return null;
  end if;

  -- Most tenants have no rules.
  perform from booking.price_rules r where r.tenant_id = p_tenant_id;
  if not found then
    return (
      select y.price_cents
      from booking.appointment_types y
      where y.tenant_id = p_tenant_id and y.id = p_type_id
    );
  end if;

  return (
    select p.price_cents
    from booking.slot_prices(
      p_tenant_id, p_type_id, array[p_staff_id], array[p_location_id], array[p_start_time]
    ) p
  );
end
$$;

comment on function booking.price_of(uuid, uuid, uuid, uuid, timestamptz) is
  'What a service costs now at a slot: its base price, changed by the price_rules that fit.';

-- sql/40_booking/rank_free_people.sql

-- Who can do a service at a start, the one whose turn it is first:
--
--   1. fewest live appointments in the week of the start, Monday to Sunday by the clocks of the
--      slot's place; one session of a class is one, however many attend
--   2. idle longest: whose last live appointment until the start ended earliest; never is longest
--   3. by id of the person, then of the place, so that the answer is the same each time
--
-- Holds do not count, nor do cancelled appointments. Reads only, refuses nothing.
create or replace function booking.rank_free_people(
  p_tenant_id uuid,
  p_type booking.appointment_types,
  p_location_id uuid,
  p_start_time timestamptz
) returns table (slot_id uuid, staff_id uuid, location_id uuid)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_first_date date;
  v_last_date date;
begin
  -- One start is two dates where a tenant's places lie far apart.
  select min(d.date), max(d.date) into v_first_date, v_last_date
  from booking.locations l
  join booking.tenants t on t.id = l.tenant_id
  cross join lateral (
    select (p_start_time at time zone coalesce(l.timezone, t.timezone))::date as date
  ) d
  where l.tenant_id = p_tenant_id;

  return query
  select s.id, s.staff_id, s.location_id
  from booking.find_service_slots(
    p_tenant_id, p_type, p_location_id, v_first_date, v_last_date, p_start_time
  ) s
  join booking.locations l on l.tenant_id = p_tenant_id and l.id = s.location_id
  join booking.tenants t on t.id = p_tenant_id
  cross join lateral (select coalesce(l.timezone, t.timezone) as zone) z
  cross join lateral (
    select date_trunc('week', p_start_time at time zone z.zone) as monday
  ) w
  cross join lateral (
    -- Two of one person begin together only if they attend the same class.
    select count(distinct a.start_time) as appointments
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = s.staff_id and a.status <> 'cancelled'
      and a.start_time >= booking.first_instant(w.monday, z.zone)
      and a.start_time < booking.first_instant(w.monday + interval '7 days', z.zone)
  ) week
  left join lateral (
    -- They do not overlap: the last to begin is the last to end.
    select a.end_time
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = s.staff_id and a.status <> 'cancelled'
      and a.start_time < p_start_time and a.end_time <= p_start_time
    order by a.start_time desc
    limit 1
  ) before on true
  order by week.appointments, before.end_time nulls first, s.staff_id, s.location_id;
end
$$;

comment on function booking.rank_free_people(
  uuid, booking.appointment_types, uuid, timestamptz
) is
  'The open slots of a service at a start, that of the person whose turn it is first: fewest
appointments in the week, then idle longest, then by id.';

-- sql/40_booking/release_unpaid_appointments.sql

-- Cancels appointments that were to be paid by payment_due_at and were not, and returns how many.
-- Their time is free again in the same transaction. Rows and calendars that someone else is writing
-- are skipped and left to the next call, and so are those that fail, so that no tenant waits for
-- another's; an error is raised where there is nothing but errors. One call does few.
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
  v_error text;
begin
  perform set_config('booking.is_audited', 'on', true);
  for v_appointment in
    select a.tenant_id, a.id, a.staff_id, a.slot_id
    from booking.appointments a
    join booking.calendars c on c.tenant_id = a.tenant_id and c.staff_id = a.staff_id
    where a.status = 'pending' and a.payment_due_at <= v_now and a.payment_status <> 'paid'
    order by a.tenant_id, a.staff_id, a.id
    for no key update of a, c skip locked
  loop
    begin
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
    exception when others then
      get stacked diagnostics v_error = message_text;
    end;
    exit when v_released = p_most_appointments;
  end loop;
  if v_released = 0 and v_error is not null then
    raise exception using message = v_error;
  end if;
  perform set_config('booking.is_audited', '', true);
  return v_released;
end
$$;

comment on function booking.release_unpaid_appointments(integer) is
  'Cancels up to p_most_appointments pending appointments whose payment_due_at has passed; returns
how many.';

-- sql/40_booking/require_public.sql

-- What a request names must be public: an active tenant, an active place or service of it. Missing,
-- foreign and inactive look the same. Each refuses by booking.refuse and reads only.
create or replace function booking.require_tenant(p_tenant_id uuid) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_given('tenant_id', p_tenant_id::text, 'the id of a tenant');
  perform from booking.tenants t where t.id = p_tenant_id and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
end
$$;

comment on function booking.require_tenant(uuid) is
  'Refuses a tenant_id that is missing (invalid_request) or names no active tenant (not_found).';

create or replace function booking.require_location(p_tenant_id uuid, p_location_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_location_id is not null then
    perform
    from booking.locations l
    where l.tenant_id = p_tenant_id and l.id = p_location_id and l.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such place (location_id).');
    end if;
  end if;
end
$$;

comment on function booking.require_location(uuid, uuid) is
  'Refuses a location_id that names no active place of the tenant (not_found); null is anywhere.';

create or replace function booking.require_type(p_tenant_id uuid, p_code text)
returns booking.appointment_types
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_type booking.appointment_types;
begin
  perform booking.require_length('appointment_type', p_code, 1, 100);

  select y.* into v_type
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.code = p_code and y.is_active;
  if not found then
    perform booking.refuse('invalid_request', format(
      'appointment_type is "%s"; expected the code of one of this tenant''s services.', p_code
    ));
  end if;
  return v_type;
end
$$;

comment on function booking.require_type(uuid, text) is
  'The active service of that code, or a refusal (invalid_request).';

-- sql/40_booking/require_slot.sql

-- Whether a slot that had no row has been published meanwhile. Reads only.
create or replace function booking.has_row(p_slot booking.availability_slots) returns boolean
language sql volatile parallel unsafe
set search_path = ''
as $$
  select exists (
    select
    from booking.availability_slots s
    where s.tenant_id = p_slot.tenant_id and s.id = p_slot.id
  )
$$;

comment on function booking.has_row(booking.availability_slots) is
  'True if the slot is in availability_slots now.';

create or replace function booking.refuse_taken() returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.refuse(
    'slot_taken', 'This time is no longer available.', null, 'Choose another time.'
  );
end
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
  v_state_now record;
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

  if v_hold.id is not null and not coalesce(v_state.is_free, false) then
    perform booking.refuse_changed();
  end if;

  -- What the listing would show without this appointment, else what it does show: grids and compact
  -- schedules depend on what is booked.
  if v_hold.id is null
    and not coalesce(v_state.is_on_grid and v_state.is_available and v_state.is_bookable, false)
  then
    select s.* into v_state_now
    from booking.calculate_slot(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
    ) s;
    if not coalesce(
      v_state_now.is_on_grid and v_state_now.is_available and v_state_now.is_bookable
        and v_state.is_free,
      false
    ) then
      perform booking.refuse_taken();
    end if;
  end if;

  if v_hold.id is not null then
    -- The appointment takes the hold's time, and its trigger publishes both.
    perform set_config('booking.refresh_follows', 'on', true);
    delete from booking.slot_reservations h
    where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;
    perform set_config('booking.refresh_follows', '', true);
  end if;

  perform
  from booking.holds_in_the_way(
    p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, v_state.claim
  ) h
  where not coalesce(
    h.session_hash = p_session_hash or h.customer_id = booking.caller_id(), false
  );
  if found then
    perform booking.refuse_taken();
  end if;

  if v_hold.id is null and not (v_state.capacity > 1 and v_state.booked > 0)
    and booking.day_is_full_until(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, p_slot.start_time,
      v_state.end_time, v_appointment.id
    ) is not null
  then
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
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'appointment_id', p_appointment.id,
    'slot_id', p_appointment.slot_id,
    'staff_id', p_appointment.staff_id,
    'location_id', p_appointment.location_id,
    'start_time', booking.iso_time(p_appointment.start_time),
    'end_time', booking.iso_time(p_appointment.end_time),
    'seat', p_appointment.seat,
    'message', 'The appointment is at the new time.'
  );
end
$$;

comment on function booking.moved(booking.appointments) is 'The answer to a move.';

-- sql/40_booking/reserve_slot.sql

-- Holds a slot for a session, hold_minutes long: one atomic step. Slot and every slot that its
-- claim overlaps or leaves no time to travel to are hidden until then (the hold's triggers publish
-- that), and so is a day that is full with it. The same session asking again gets the same answer
-- and no longer hold; its own holds that are in the way are replaced, and stay if the new one
-- cannot be had, because a refusal takes everything back. A hold for a service quotes its price
-- (booking.price_of), and keeps the quote until it is for another service.
--
-- Locks the session (two calls of one session must not pass max_holds_per_session together), then
-- the calendar; looks afterwards (current_slot), and reads the clock once. A slot that is published
-- as taken, or not published though its day is, is refused without any lock, and so is one beyond
-- the published days that the calculator does not offer: nobody makes bookers wait by asking for
-- it, and busy takes as long as off duty.
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
  v_type booking.appointment_types;
  v_hold booking.slot_reservations;
  v_claim tstzrange := p_slot.claim;
  v_state record;
  v_are_others_in_the_way boolean;
  v_ids_in_the_way uuid[];
  v_most_holds integer;
  v_hold_minutes integer;
  v_holds integer;
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  perform booking.require_slot(p_slot, p_request);

  if p_slot.reserved_until > v_now or not p_slot.is_available
    or p_slot.bookable_until <= v_now or p_slot.bookable_from > v_now
    or (p_slot.calculated_at is null and not booking.has_row(p_slot) and (
      booking.is_published(p_slot) or not coalesce((
        select s.is_on_grid and s.is_available and s.is_bookable
        from booking.calculate_slot(
          p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
        ) s
      ), false)
    ))
  then
    perform
    from booking.slot_reservations h
    where h.tenant_id = p_slot.tenant_id and h.staff_id = p_slot.staff_id
      and h.session_hash = p_session_hash and h.expires_at > v_now;
    if not found then
      perform booking.refuse_taken();
    end if;
  end if;

  perform booking.lock_session(p_slot.tenant_id, p_session_hash);
  perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);
  v_now := booking.now();

  select h.* into v_hold
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash and h.expires_at > v_now;

  if not found then
    -- A slot that has no row was found without its claim.
    if v_claim is null then
      select booking.claim_of(
        p_slot.start_time, p_slot.start_time + sh.duration_minutes * interval '1 minute',
        sh.buffer_before_minutes, sh.buffer_after_minutes
      )
      into v_claim
      from booking.slot_shapes sh
      where sh.tenant_id = p_slot.tenant_id and sh.id = p_slot.shape_id;
    end if;

    -- Before the calculator, so that the losers of a rush cost little.
    select bool_or(h.session_hash <> p_session_hash), array_agg(h.id)
    into v_are_others_in_the_way, v_ids_in_the_way
    from booking.holds_in_the_way(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, v_claim
    ) h;
    if v_are_others_in_the_way then
      perform booking.refuse_taken();
    end if;

    select s.* into v_state
    from booking.current_slot(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.shape_id, p_slot.start_time
    ) s;
    if not coalesce(v_state.is_on_grid and v_state.is_available and v_state.is_bookable, false) then
      perform booking.refuse_taken();
    end if;

    -- What has expired goes as the hold comes (check_hold).
    if v_ids_in_the_way is not null then
      delete from booking.slot_reservations h
      where h.tenant_id = p_slot.tenant_id and h.id = any (v_ids_in_the_way);
    end if;

    -- A class that somebody attends has its day. Else one of the session's own holds makes room on
    -- a day that is full with them, the one that ends first.
    while not (v_state.capacity > 1 and v_state.booked > 0) and booking.day_is_full_until(
      p_slot.tenant_id, p_slot.staff_id, p_slot.location_id, p_slot.id, p_slot.start_time,
      v_state.end_time
    ) is not null loop
      delete from booking.slot_reservations h
      where h.tenant_id = p_slot.tenant_id and h.id = (
        select o.id
        from booking.slot_reservations o
        join booking.locations l on l.tenant_id = o.tenant_id and l.id = p_slot.location_id
        join booking.tenants t on t.id = o.tenant_id
        cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
        where o.tenant_id = p_slot.tenant_id and o.staff_id = p_slot.staff_id
          and o.session_hash = p_session_hash and o.slot_id <> p_slot.id
          and o.claim && tstzrange(
            booking.first_instant((p_slot.start_time at time zone z.zone)::date, z.zone),
            booking.first_instant((v_state.end_time at time zone z.zone)::date + 1, z.zone)
          )
        order by o.expires_at, o.id
        limit 1
      );
      if not found then
        perform booking.refuse_taken();
      end if;
    end loop;

    v_hold.seat := booking.free_seat(p_slot.tenant_id, p_slot.id, v_state.capacity);
    if v_hold.seat is null then
      perform booking.refuse_taken();
    end if;
  end if;

  v_type := booking.offered_type(
    p_slot.tenant_id, p_slot.staff_id, p_slot.shape_id, p_request ->> 'appointment_type', v_hold
  );

  if v_hold.id is null then
    select t.hold_minutes, t.max_holds_per_session, (
      select count(*)
      from booking.slot_reservations h
      where h.tenant_id = t.id and h.session_hash = p_session_hash and h.expires_at > v_now
    )
    into v_hold_minutes, v_most_holds, v_holds
    from booking.tenants t
    where t.id = p_slot.tenant_id;

    if v_holds >= v_most_holds then
      perform booking.refuse(
        'hold_limit_reached',
        format('This session holds %s times already.', v_most_holds),
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
      v_type.id,
      booking.price_of(
        p_slot.tenant_id, v_type.id, p_slot.staff_id, p_slot.location_id, p_slot.start_time
      ),
      v_type.currency, v_state.capacity,
      v_now + v_hold_minutes * interval '1 minute'
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
        else booking.price_of(
          h.tenant_id, v_type.id, h.staff_id, h.location_id, h.start_time
        )
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

-- sql/40_booking/reserve_time.sql

-- Holds a time of a service with whoever's turn it is (booking.rank_free_people), as reserve_slot
-- holds a slot. The same session asking again for the same time and service gets the same slot and
-- the same end; and where nobody else is free, a hold of its own that is in the way gives way.
--
-- Locks the session to the end, so that its own calls come one after the other and it holds no more
-- than it may, whatever becomes of a try. Then tries the free people in turn, each in a
-- subtransaction, which gives the calendar back where somebody was faster: there is never more than
-- one calendar locked, so the order of people cannot deadlock. A slot's row is read anew before
-- each try; reserve_slot refuses what is published as taken without any lock. Whose calendar
-- somebody writes for long is passed over while others are free, and waited for at the end.
--
-- Refuses: invalid_request, not_found, slot_taken (nobody is free then, or no longer), and whatever
-- else reserve_slot says to the first who is free: hold_limit_reached, appointment_conflict.
create or replace function booking.reserve_time(p_session_hash bytea, p_request jsonb)
returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_start_time timestamptz := (p_request ->> 'start_time')::timestamptz;
  v_type booking.appointment_types;
  v_end_time timestamptz;
  v_claim tstzrange;
  v_free record;
  v_busy jsonb[] := array[]::jsonb[];
  v_request jsonb;
  v_answer jsonb;
  v_code text;
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);
  perform booking.require_given('start_time', v_start_time::text, 'a time');
  perform booking.require_time('start_time', v_start_time);
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_location(v_tenant_id, v_location_id);
  v_type := booking.require_type(v_tenant_id, p_request ->> 'appointment_type');

  perform booking.lock_session(v_tenant_id, p_session_hash);

  v_end_time := v_start_time + v_type.duration_minutes * interval '1 minute';
  v_claim := booking.claim_of(
    v_start_time, v_end_time, v_type.buffer_before_minutes, v_type.buffer_after_minutes
  );

  for v_free in
    select f.slot_id, f.staff_id, f.location_id
    from (
      -- What the session holds already, and last what it holds instead.
      select own.slot_id, own.staff_id, own.location_id, own.turn
      from booking.slot_reservations h
      cross join lateral (
        select h.slot_id, h.staff_id, h.location_id, 0 as turn
        where h.start_time = v_start_time and h.appointment_type_id = v_type.id
        union all
        select
          booking.slot_id(v_tenant_id, o.staff_id, h.location_id, v_start_time, v_type.shape_id),
          o.staff_id, h.location_id, 2147483647
        from booking.staff_appointment_types o
        where o.tenant_id = v_tenant_id and o.staff_id = h.staff_id
          and o.appointment_type_id = v_type.id and h.claim && v_claim
      ) as own
      where h.tenant_id = v_tenant_id and h.session_hash = p_session_hash
        and (v_location_id is null or h.location_id = v_location_id)
        and h.expires_at > booking.now()
      union all
      select r.slot_id, r.staff_id, r.location_id, r.turn
      from booking.rank_free_people(v_tenant_id, v_type, v_location_id, v_start_time)
        with ordinality as r(slot_id, staff_id, location_id, turn)
    ) f
    order by f.turn, f.slot_id
  loop
    v_request := p_request || jsonb_build_object(
      'slot_id', v_free.slot_id, 'staff_id', v_free.staff_id, 'location_id', v_free.location_id
    );
    begin
      perform set_config('lock_timeout', '500ms', true);
      v_answer := booking.reserve_slot(
        booking.find_slot(v_request, p_session_hash), p_session_hash, v_request
      );
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics v_code = constraint_name;
        if v_code <> 'slot_taken' then
          raise;
        end if;
      when lock_not_available then
        v_busy := v_busy || v_request;
    end;
  end loop;

  -- The first of those whom somebody else had locked: now as long as anybody waits (attempt).
  if v_answer is null and cardinality(v_busy) > 0 then
    v_request := v_busy[1];
    v_answer := booking.reserve_slot(
      booking.find_slot(v_request, p_session_hash), p_session_hash, v_request
    );
  end if;
  if v_answer is null then
    perform booking.refuse_taken();
  end if;
  return v_answer || jsonb_build_object(
    'staff_id', v_request ->> 'staff_id',
    'location_id', v_request ->> 'location_id',
    'start_time', booking.iso_time(v_start_time),
    'end_time', booking.iso_time(v_end_time)
  );
end
$$;

comment on function booking.reserve_time(bytea, jsonb) is
  'Worker of api.reserve_time: holds a time of a service with whoever''s turn it is, or refuses.';

-- sql/40_booking/rounded_price.sql

-- A price as it is charged: rounded half up to the smallest unit that the currency has by ISO 4217,
-- never below 0, and at most the largest such amount that an integer holds. Prices are hundredths
-- of every currency, so yen and others without minor units are whole hundreds. No arithmetic that
-- could lose a digit. Reads nothing, refuses nothing; null of null.
create or replace function booking.rounded_price(p_cents numeric, p_currency text)
returns integer
language sql immutable parallel safe
set search_path = ''
as $$
  select case when p_cents is not null then least(
    div(greatest(p_cents, 0) + unit.cents * 0.5, unit.cents) * unit.cents,
    2147483647 - mod(2147483647, unit.cents)
  )::integer end
  from (
    select case
      when p_currency in (
        'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND',
        'VUV', 'XAF', 'XOF', 'XPF'
      )
      then 100
      else 1
    end as cents
  ) as unit
$$;

comment on function booking.rounded_price(numeric, text) is
  'Hundredths of a currency, rounded half up to its smallest unit (whole hundreds for yen and others
without minor units), from 0 to the largest integer.';

-- sql/40_booking/slot_prices.sql

-- What a service costs at some slots at this moment: its base price, changed by the tenant's
-- price_rules. Slots are given as three arrays of equal length and told by position, from 1.
--
-- A rule fits a slot when every condition that it has (is not null) holds:
--
--   appointment_type_id, staff_id, location_id   they are the slot's
--   weekdays                    has the ISO weekday of the slot's local date at its place
--   start_time to end_time      the start by the clock on the wall there, half open; an end at or
--                               before the start crosses midnight, and what begins after midnight
--                               is of its own date's weekday and season; 24:00 is the day's end
--   valid_from to valid_until   the local date, both inclusive
--   min_ to max_lead_minutes    whole minutes from now to the start, both inclusive
--   min_ to max_load_percent    how full the person's day is there (booking.day_loads), both
--                               inclusive
--
-- Of the rules that fit, the one of the highest priority (of equals the lowest id) decides: if it
-- does not stack, it alone counts; if it does, so does every other that fits and stacks.
-- Percentages are all of the base price and are added up, so that their order does not matter;
-- then come the cents: base * (1 + percent / 100) + cents, rounded by booking.rounded_price. Where
-- no rule fits the base price stays what it is, unrounded.
--
-- One look at an index where the tenant has no rules for the service. Days are measured only where
-- a rule that fits otherwise asks for their load, and each once. Reads the clock once. All null for
-- a service that does not exist. Locks nothing; refuses nothing. Callers may not call it: listings
-- and holds do, as the owner.
create or replace function booking.slot_prices(
  p_tenant_id uuid,
  p_type_id uuid,
  p_staff_ids uuid[],
  p_location_ids uuid[],
  p_start_times timestamptz[]
) returns table ("position" bigint, price_cents integer)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_base integer;
  v_currency text;
begin
  select y.price_cents, y.currency into v_base, v_currency
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.id = p_type_id;

  perform
  from booking.price_rules r
  where r.tenant_id = p_tenant_id
    and (r.appointment_type_id is null or r.appointment_type_id = p_type_id);
  if v_base is null or not found then
    return query
    select n, v_base from generate_series(1::bigint, cardinality(p_start_times)) as n;
    return;
  end if;

  return query
  with slots as materialized (
    select
      s.position, s.staff_id, s.location_id, local.start_time::date as local_date,
      local.start_time::time as local_time,
      extract(isodow from local.start_time)::integer as weekday,
      floor(extract(epoch from s.start_time - v_now) / 60) as lead_minutes
    from unnest(p_staff_ids, p_location_ids, p_start_times)
      with ordinality as s(staff_id, location_id, start_time, position)
    join booking.locations l on l.tenant_id = p_tenant_id and l.id = s.location_id
    join booking.tenants t on t.id = l.tenant_id
    cross join lateral (
      select s.start_time at time zone coalesce(l.timezone, t.timezone) as start_time
    ) as local
  ),
  -- All conditions but the load, which costs most.
  candidates as materialized (
    select
      s.position, s.staff_id, s.location_id, s.local_date, r.id, r.min_load_percent,
      r.max_load_percent, r.adjustment_percent, r.adjustment_cents, r.priority, r.stacks
    from slots s
    join booking.price_rules r
      on (r.appointment_type_id is null or r.appointment_type_id = p_type_id)
      and (r.staff_id is null or r.staff_id = s.staff_id)
      and (r.location_id is null or r.location_id = s.location_id)
      and (r.weekdays is null or s.weekday = any (r.weekdays))
      and (r.start_time is null or case
        when r.start_time < r.end_time
        then s.local_time >= r.start_time and s.local_time < r.end_time
        else s.local_time >= r.start_time or s.local_time < r.end_time
      end)
      and (r.valid_from is null or s.local_date >= r.valid_from)
      and (r.valid_until is null or s.local_date <= r.valid_until)
      and (r.min_lead_minutes is null or s.lead_minutes >= r.min_lead_minutes)
      and (r.max_lead_minutes is null or s.lead_minutes <= r.max_lead_minutes)
    where r.tenant_id = p_tenant_id
  ),
  loads as materialized (
    select d.staff_id, d.location_id, d.local_date, d.load_percent
    from (
      select
        array_agg(c.staff_id) as staff_ids,
        array_agg(c.location_id) as location_ids,
        array_agg(c.local_date) as local_dates
      from (
        select distinct c.staff_id, c.location_id, c.local_date
        from candidates c
        where c.min_load_percent is not null or c.max_load_percent is not null
      ) as c
      having count(*) > 0
    ) as asked
    cross join lateral booking.day_loads(
      p_tenant_id, asked.staff_ids, asked.location_ids, asked.local_dates
    ) d
  ),
  fitting as (
    select
      c.position, c.adjustment_percent, c.adjustment_cents, c.stacks,
      row_number() over by_rank as rank, first_value(c.stacks) over by_rank as first_stacks
    from candidates c
    left join loads d
      on d.staff_id = c.staff_id and d.location_id = c.location_id and d.local_date = c.local_date
    where (c.min_load_percent is null or d.load_percent >= c.min_load_percent)
      and (c.max_load_percent is null or d.load_percent <= c.max_load_percent)
    window by_rank as (partition by c.position order by c.priority desc, c.id)
  ),
  changes as (
    select
      f.position, sum(f.adjustment_percent) as percent, sum(f.adjustment_cents) as cents
    from fitting f
    where f.rank = 1 or (f.first_stacks and f.stacks)
    group by f.position
  )
  select n, coalesce(
    booking.rounded_price(v_base * (100 + c.percent) * 0.01 + c.cents, v_currency), v_base
  )
  from generate_series(1::bigint, cardinality(p_start_times)) as n
  left join changes c on c.position = n;
end
$$;

comment on function booking.slot_prices(uuid, uuid, uuid[], uuid[], timestamptz[]) is
  'What a service costs now at each slot (person, place, start; three arrays), by position from 1:
the base price, changed by the price_rules that fit. The one of the highest priority decides; if it
stacks, all that stack count: base * (1 + sum of percent / 100) + sum of cents, rounded.';

-- sql/45_analytics/analysed_tenants.sql

-- The tenants whose analytics the caller may see: those of whom they are admins; the service all.
-- Inlined into the views of analytics, hence without a pinned search_path.
create or replace function booking.analysed_tenants() returns table (tenant_id uuid)
language sql stable parallel safe
as $$
  select t.id
  from booking.tenants t
  where t.id = any ((select booking.member_tenant_ids('admin'))::uuid[])
    or (select booking.caller_claims() ->> 'role') = 'service_role'
$$;

comment on function booking.analysed_tenants() is
  'The tenants whose analytics the caller may see: an admin''s own; the service''s are all.';

-- sql/45_analytics/appointments.sql

-- Figures of appointments, whoever wrote them, by the hour of their start (the place's zone).
--
--   appointments    all of them, cancelled ones included
--   cancelled       with notice_minutes in all, from the cancellation to the start (0 where it came
--                   later); cancelled_late with less than a day's notice
--   no_shows        those of status no_show
--   starts          starts that live appointments take; a class counts once, however full
--   booked_minutes  of live appointments, from start to end; buffer_minutes around them; a class
--                   counts once; a missed appointment took its time, too
--   travel_minutes  from the person's live appointment before it on that date, where that was at
--                   another place: what travel_times says
--   lead            from the booking to the start: lead_minutes in all, and how many were booked on
--                   the day itself, 1 to 6, 7 to 29, 30 or more local dates ahead. Not told of what
--                   came from another system (external_id), or was written after it began.
create or replace function booking.appointments_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return query
  with found as (
    select
      a.*, a.start_time at time zone p.zone as local_time, p.zone,
      a.status <> 'cancelled' and row_number() over (
        partition by coalesce(a.slot_id, a.id), a.status = 'cancelled' order by a.id
      ) = 1 as takes_time,
      case when a.external_id is null and a.created_at <= a.start_time
        then a.start_time - a.created_at
      end as lead,
      case when a.status = 'cancelled'
        then greatest(a.start_time - a.cancelled_at, interval '0')
      end as notice
    from booking.tenants t
    join booking.staff s on s.tenant_id = t.id
    join booking.appointments a
      on a.tenant_id = t.id and a.staff_id = s.id
      -- In every zone.
      and a.start_time >= (lower(p_days) - 1)::timestamp at time zone 'UTC'
      and a.start_time < (upper(p_days) + 1)::timestamp at time zone 'UTC'
    join booking.locations l on l.tenant_id = t.id and l.id = a.location_id
    cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as p
    where t.id = p_tenant_id
  ),
  travelled as (
    select f.id, coalesce(own.minutes, back.minutes) as minutes
    from (
      select f.id, f.location_id, lag(f.location_id) over (
        partition by f.staff_id, f.local_time::date order by f.start_time
      ) as from_location_id
      from found f
      where f.takes_time
    ) as f
    left join booking.travel_times own
      on own.tenant_id = p_tenant_id
      and own.from_location_id = f.from_location_id and own.to_location_id = f.location_id
    left join booking.travel_times back
      on back.tenant_id = p_tenant_id
      and back.from_location_id = f.location_id and back.to_location_id = f.from_location_id
  ),
  told as (
    select
      f.*, v.minutes as travel,
      f.local_time::date - (f.created_at at time zone f.zone)::date as days_ahead
    from found f
    left join travelled v on v.id = f.id
    where f.local_time::date <@ p_days
  )
  select
    p_tenant_id, gen_random_uuid(), f.local_time::date,
    date_trunc('week', f.local_time::date::timestamp)::date,
    extract(hour from f.local_time)::integer, f.staff_id, f.location_id, f.appointment_type_id,
    count(*),
    count(*) filter (where f.status = 'cancelled'),
    count(*) filter (where f.notice < interval '24 hours'),
    count(*) filter (where f.status = 'no_show'),
    (coalesce(extract(epoch from sum(f.notice)), 0) / 60)::bigint,
    count(*) filter (where f.takes_time),
    coalesce(sum(f.duration_minutes) filter (where f.takes_time), 0)::bigint,
    coalesce(
      sum(f.buffer_before_minutes + f.buffer_after_minutes) filter (where f.takes_time), 0
    )::bigint,
    coalesce(sum(f.travel), 0)::bigint,
    (coalesce(extract(epoch from sum(f.lead)), 0) / 60)::bigint,
    count(f.lead) filter (where f.days_ahead = 0),
    count(f.lead) filter (where f.days_ahead between 1 and 6),
    count(f.lead) filter (where f.days_ahead between 7 and 29),
    count(f.lead) filter (where f.days_ahead >= 30)
  from told f
  group by f.local_time::date, extract(hour from f.local_time), f.staff_id, f.location_id,
    f.appointment_type_id;
end
$$;

comment on function booking.appointments_of(uuid, daterange) is
  'Appointments that begin on those dates (the places'' zones), as booking.daily_appointments keeps
them.';

create or replace function booking.live_appointments(p_tenant_id uuid)
returns setof booking.daily_appointments
language sql stable parallel safe security definer
set search_path = ''
as $$
  select a.* from booking.appointments_of(p_tenant_id, booking.live_days(p_tenant_id)) a
$$;

comment on function booking.live_appointments(uuid) is
  'booking.appointments_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.appointments_by_day() returns table (
  tenant_id uuid,
  date date,
  week date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  appointment_type_id uuid,
  appointments bigint,
  cancelled bigint,
  cancelled_late bigint,
  no_shows bigint,
  notice_minutes bigint,
  starts bigint,
  booked_minutes bigint,
  buffer_minutes bigint,
  travel_minutes bigint,
  lead_minutes bigint,
  same_day bigint,
  days_1_to_6 bigint,
  days_7_to_29 bigint,
  days_30_or_more bigint
)
language sql stable parallel safe
as $$
  select
    r.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.appointment_type_id,
    r.appointments, r.cancelled, r.cancelled_late, r.no_shows, r.notice_minutes, r.starts,
    r.booked_minutes, r.buffer_minutes, r.travel_minutes, r.lead_minutes, r.same_day,
    r.days_1_to_6, r.days_7_to_29, r.days_30_or_more
  from booking.daily_appointments r
  union all
  select
    t.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.appointment_type_id,
    r.appointments, r.cancelled, r.cancelled_late, r.no_shows, r.notice_minutes, r.starts,
    r.booked_minutes, r.buffer_minutes, r.travel_minutes, r.lead_minutes, r.same_day,
    r.days_1_to_6, r.days_7_to_29, r.days_30_or_more
  from booking.analysed_tenants() t
  cross join lateral booking.live_appointments(t.tenant_id) r
$$;

comment on function booking.appointments_by_day() is
  'booking.daily_appointments with the dates that are not rolled up yet.';

-- sql/45_analytics/attempts.sql

-- Figures of what was tried: searches, holds, bookings, by the hour in which it was (tenant's
-- zone), who and what it was about. Holds and bookings are those of the booking functions, from the
-- audit trail. A session that holds a slot again, and a booking that is told again, count once a
-- day. The time from hold to booking begins with the session's first hold of that slot within the
-- day before.
create or replace function booking.attempts_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_attempts
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_zone text;
  v_from timestamptz;
  v_until timestamptz;
begin
  select t.timezone, booking.first_instant(lower(p_days), t.timezone),
    booking.first_instant(upper(p_days), t.timezone)
  into v_zone, v_from, v_until
  from booking.tenants t
  where t.id = p_tenant_id;

  return query
  with calls as (
    select
      a.occurred_at, a.occurred_at at time zone v_zone as local_time, a.code, a.session_hash,
      a.slot_id, a.appointment_id, a.staff_id,
      (a.details ->> 'appointment_type_id')::uuid as appointment_type_id,
      case a.action when 'create_appointment' then 'book' else 'hold' end as action
    from booking.audit_log a
    where a.tenant_id = p_tenant_id
      and a.occurred_at >= v_from - interval '1 day' and a.occurred_at < v_until
      and a.action in ('reserve_slot', 'reserve_time', 'create_appointment')
      and not a.details ? 'is_direct'
  ),
  counted as (
    select
      c.*,
      c.code is not null or row_number() over (
        partition by c.code, c.action, c.local_time::date,
          case c.action when 'book' then c.appointment_id else c.slot_id end,
          case c.action when 'hold' then c.session_hash end
        order by c.occurred_at
      ) = 1 as counts,
      case when c.code is null and c.action = 'book' then c.occurred_at - min(c.occurred_at)
        filter (where c.code is null and c.action = 'hold') over (
          partition by c.slot_id, c.session_hash
          order by c.occurred_at range between interval '1 day' preceding and current row
        )
      end as since_hold
    from calls c
  )
  select
    p_tenant_id, gen_random_uuid(), c.local_time::date, extract(hour from c.local_time)::integer,
    c.staff_id, c.appointment_type_id, c.action, c.code,
    count(*),
    count(c.since_hold),
    coalesce(sum(extract(epoch from c.since_hold)), 0)::bigint
  from counted c
  where c.counts and c.occurred_at >= v_from
  group by c.local_time::date, extract(hour from c.local_time), c.staff_id, c.appointment_type_id,
    c.action, c.code
  union all
  select
    p_tenant_id, gen_random_uuid(), s.local_time::date, extract(hour from s.local_time)::integer,
    s.staff_id, s.appointment_type_id, 'search', s.code, sum(s.stands_for)::bigint, 0, 0
  from (
    select s.staff_id, s.appointment_type_id, s.stands_for,
      s.searched_at at time zone v_zone as local_time,
      case when not s.has_result then 'without_result' end as code
    from booking.searches s
    where s.tenant_id = p_tenant_id and s.searched_at >= v_from and s.searched_at < v_until
  ) as s
  group by s.local_time::date, extract(hour from s.local_time), s.staff_id, s.appointment_type_id,
    s.code;
end
$$;

comment on function booking.attempts_of(uuid, daterange) is
  'Searches, holds and bookings of those dates (tenant''s zone), as booking.daily_attempts keeps
them.';

create or replace function booking.live_attempts(p_tenant_id uuid)
returns setof booking.daily_attempts
language sql stable parallel safe security definer
set search_path = ''
as $$
  select a.* from booking.attempts_of(p_tenant_id, booking.live_days(p_tenant_id)) a
$$;

comment on function booking.live_attempts(uuid) is
  'booking.attempts_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.attempts_by_day() returns table (
  tenant_id uuid,
  date date,
  hour integer,
  staff_id uuid,
  appointment_type_id uuid,
  action text,
  code text,
  attempts bigint,
  timed bigint,
  seconds bigint
)
language sql stable parallel safe
as $$
  select
    r.tenant_id, r.date, r.hour, r.staff_id, r.appointment_type_id, r.action, r.code, r.attempts,
    r.timed, r.seconds
  from booking.daily_attempts r
  union all
  select
    t.tenant_id, r.date, r.hour, r.staff_id, r.appointment_type_id, r.action, r.code, r.attempts,
    r.timed, r.seconds
  from booking.analysed_tenants() t
  cross join lateral booking.live_attempts(t.tenant_id) r
$$;

comment on function booking.attempts_by_day() is
  'booking.daily_attempts with the dates that are not rolled up yet.';

-- sql/45_analytics/bookings.sql

-- Figures of appointments that were booked through create_appointment, by the date on which that
-- was done (tenant's zone), with the person and the service that they have now. Kept are those that
-- were neither cancelled nor missed until now.
create or replace function booking.bookings_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_bookings
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_zone text;
  v_from timestamptz;
  v_until timestamptz;
begin
  select t.timezone, booking.first_instant(lower(p_days), t.timezone),
    booking.first_instant(upper(p_days), t.timezone)
  into v_zone, v_from, v_until
  from booking.tenants t
  where t.id = p_tenant_id;

  return query
  select
    p_tenant_id, gen_random_uuid(), (a.created_at at time zone v_zone)::date, a.staff_id,
    a.appointment_type_id, count(*),
    count(*) filter (where a.status not in ('cancelled', 'no_show'))
  from booking.appointments a
  where a.tenant_id = p_tenant_id and a.source = 'api'
    and a.created_at >= v_from and a.created_at < v_until
  group by (a.created_at at time zone v_zone)::date, a.staff_id, a.appointment_type_id;
end
$$;

comment on function booking.bookings_of(uuid, daterange) is
  'Bookings that were made on those dates (tenant''s zone), as booking.daily_bookings keeps them.';

create or replace function booking.live_bookings(p_tenant_id uuid)
returns setof booking.daily_bookings
language sql stable parallel safe security definer
set search_path = ''
as $$
  select b.* from booking.bookings_of(p_tenant_id, booking.live_days(p_tenant_id)) b
$$;

comment on function booking.live_bookings(uuid) is
  'booking.bookings_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.bookings_by_day() returns table (
  tenant_id uuid,
  date date,
  staff_id uuid,
  appointment_type_id uuid,
  bookings bigint,
  kept bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.date, r.staff_id, r.appointment_type_id, r.bookings, r.kept
  from booking.daily_bookings r
  union all
  select t.tenant_id, r.date, r.staff_id, r.appointment_type_id, r.bookings, r.kept
  from booking.analysed_tenants() t
  cross join lateral booking.live_bookings(t.tenant_id) r
$$;

comment on function booking.bookings_by_day() is
  'booking.daily_bookings with the dates that are not rolled up yet.';

-- sql/45_analytics/count_search.sql

-- Remembers that somebody searched, for the tenant's analytics: one of settings.search_sample
-- searches, which stands for as many, and only where the transaction may write (POST) and the
-- tenant counts searches. Whoever turns a page has searched already. Costs one comparison else;
-- waits for nobody. Nothing is kept of who asked.
create or replace function booking.count_search(p_request jsonb, p_has_result boolean) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
begin
  if current_setting('transaction_read_only') = 'on' or p_request ->> 'page_token' is not null then
    return;
  end if;

  insert into booking.searches (
    tenant_id, staff_id, appointment_type_id, has_result, stands_for
  )
  select t.id, (p_request ->> 'staff_id')::uuid,
    (
      select ty.id
      from booking.appointment_types ty
      where ty.tenant_id = t.id and ty.code = p_request ->> 'appointment_type'
    ),
    p_has_result, s.search_sample
  from booking.settings s
  join booking.tenants t on t.id = v_tenant_id and t.counts_searches
  where random() * s.search_sample < 1;
end
$$;

comment on function booking.count_search(jsonb, boolean) is
  'Records a search, or one of several: settings.search_sample, tenants.counts_searches.';

-- sql/45_analytics/holds.sql

-- Figures of which starts were held: by hours of their places, for holds that were made on those
-- dates (tenant's zone), whatever became of them. A session that holds a slot again counts once a
-- day.
create or replace function booking.holds_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_holds
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_zone text;
  v_from timestamptz;
  v_until timestamptz;
begin
  select t.timezone, booking.first_instant(lower(p_days), t.timezone),
    booking.first_instant(upper(p_days), t.timezone)
  into v_zone, v_from, v_until
  from booking.tenants t
  where t.id = p_tenant_id;

  return query
  select
    p_tenant_id, gen_random_uuid(), h.held_on, h.local_time::date,
    extract(hour from h.local_time)::integer, h.staff_id, h.location_id,
    count(distinct (h.session_hash, h.slot_id))
  from (
    select
      (a.occurred_at at time zone v_zone)::date as held_on,
      (a.details ->> 'start_time')::timestamptz
        at time zone coalesce(l.timezone, v_zone) as local_time,
      a.staff_id, l.id as location_id, a.session_hash, a.slot_id
    from booking.audit_log a
    join booking.locations l
      on l.tenant_id = a.tenant_id and l.id = (a.details ->> 'location_id')::uuid
    where a.tenant_id = p_tenant_id and a.occurred_at >= v_from and a.occurred_at < v_until
      and a.action in ('reserve_slot', 'reserve_time') and a.code is null
  ) as h
  group by h.held_on, h.local_time::date, extract(hour from h.local_time), h.staff_id,
    h.location_id;
end
$$;

comment on function booking.holds_of(uuid, daterange) is
  'Starts that were held on those dates (tenant''s zone), as booking.daily_holds keeps them.';

create or replace function booking.live_holds(p_tenant_id uuid)
returns setof booking.daily_holds
language sql stable parallel safe security definer
set search_path = ''
as $$
  select h.* from booking.holds_of(p_tenant_id, booking.live_days(p_tenant_id)) h
$$;

comment on function booking.live_holds(uuid) is
  'booking.holds_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.holds_by_day() returns table (
  tenant_id uuid,
  held_on date,
  date date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  held bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.held_on, r.date, r.hour, r.staff_id, r.location_id, r.held
  from booking.daily_holds r
  union all
  select t.tenant_id, r.held_on, r.date, r.hour, r.staff_id, r.location_id, r.held
  from booking.analysed_tenants() t
  cross join lateral booking.live_holds(t.tenant_id) r
$$;

comment on function booking.holds_by_day() is
  'booking.daily_holds with the dates that are not rolled up yet.';

-- sql/45_analytics/live_days.sql

-- The dates whose figures are worked out when they are asked for: those after the last that was
-- rolled up, until today (tenant's zone); the last month where the job has never run. Empty for
-- whoever may not see them: only the tenant's admins and the service may. Every live_* function
-- asks it, and is therefore harmless to whoever may call it.
create or replace function booking.live_days(p_tenant_id uuid) returns daterange
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if not booking.caller_may_write(p_tenant_id, null) then
    return daterange 'empty';
  end if;
  return (
    select daterange(coalesce(r.rolled_until + 1, d.today - 30), d.today, '[]')
    from booking.tenants t
    cross join lateral (select (booking.now() at time zone t.timezone)::date as today) as d
    left join booking.rollups r on r.tenant_id = t.id
    where t.id = p_tenant_id and (r.rolled_until is null or r.rolled_until < d.today)
  );
end
$$;

comment on function booking.live_days(uuid) is
  'The dates (tenant''s zone) that are not rolled up yet, until today; empty for whoever may not see
the tenant''s analytics.';

-- sql/45_analytics/roll_up.sql

-- Works out anew what becomes of appointments and bookings on those dates: cancellations and missed
-- appointments come later than the day.
create or replace function booking.roll_up_outcomes(
  p_tenant_id uuid,
  p_days daterange,
  p_booked_days daterange
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  delete from booking.daily_appointments r where r.tenant_id = p_tenant_id and r.date <@ p_days;
  insert into booking.daily_appointments
  select a.* from booking.appointments_of(p_tenant_id, p_days) a;

  delete from booking.daily_bookings r where r.tenant_id = p_tenant_id and r.date <@ p_booked_days;
  insert into booking.daily_bookings
  select b.* from booking.bookings_of(p_tenant_id, p_booked_days) b;
end
$$;

comment on function booking.roll_up_outcomes(uuid, daterange, daterange) is
  'Rolls up appointments that begin on p_days and bookings that were made on p_booked_days, again.';

-- The job, one step: rolls up the next dates of a tenant (a month at most), and returns how many,
-- or 0 where none is due. A date is due when it is over for the tenant and everywhere on Earth.
-- Along with them those that appointments may have changed since: a month of starts, and of
-- bookings as many days more as one can book ahead. A tenant that fails keeps its error, is tried
-- again an hour later, and stops no other.
create or replace function booking.roll_up_next() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 31;
  c_settled_after_days constant integer := 31;
  v_now timestamptz := booking.now();
  v_tenant record;
  v_days daterange;
  v_error text;
begin
  -- A tenant's first date is that of whatever is there.
  insert into booking.rollups (tenant_id, rolled_until)
  select t.id, least(
    (v_now at time zone t.timezone)::date,
    (
      select (min(a.occurred_at) at time zone t.timezone)::date
      from booking.audit_log a
      where a.tenant_id = t.id
    ),
    (
      select (min(a.start_time) at time zone t.timezone)::date
      from booking.appointments a
      where a.tenant_id = t.id
    )
  ) - 1
  from booking.tenants t
  where not exists (select from booking.rollups r where r.tenant_id = t.id)
  on conflict do nothing;

  loop
    select r.tenant_id, r.rolled_until, t.booking_horizon_days, d.last_date into v_tenant
    from booking.tenants t
    join booking.rollups r on r.tenant_id = t.id
    cross join lateral (
      select least(
        (v_now at time zone t.timezone)::date, (v_now at time zone 'Etc/GMT+12')::date
      ) - 1 as last_date
    ) as d
    where r.rolled_until < d.last_date and r.retry_at <= v_now
    order by r.rolled_until
    limit 1
    for no key update of r skip locked;
    exit when not found;

    begin
      v_days := daterange(
        v_tenant.rolled_until + 1,
        least(v_tenant.rolled_until + c_most_days, v_tenant.last_date), '[]'
      );
      -- Nothing, unless somebody has put rolled_until back.
      delete from booking.daily_attempts r
      where r.tenant_id = v_tenant.tenant_id and r.date <@ v_days;
      delete from booking.daily_holds r
      where r.tenant_id = v_tenant.tenant_id and r.held_on <@ v_days and r.date >= lower(v_days);
      delete from booking.daily_supply r
      where r.tenant_id = v_tenant.tenant_id and r.date <@ v_days;

      insert into booking.daily_attempts
      select a.* from booking.attempts_of(v_tenant.tenant_id, v_days) a;
      insert into booking.daily_holds
      select h.* from booking.holds_of(v_tenant.tenant_id, v_days) h;
      insert into booking.daily_supply
      select s.* from booking.supply_of(v_tenant.tenant_id, v_days) s;
      perform booking.roll_up_outcomes(
        v_tenant.tenant_id,
        daterange(lower(v_days) - c_settled_after_days, upper(v_days)),
        daterange(
          lower(v_days) - c_settled_after_days - v_tenant.booking_horizon_days, upper(v_days)
        )
      );
      update booking.rollups r
      set rolled_until = upper(v_days) - 1, last_error = null
      where r.tenant_id = v_tenant.tenant_id;
      return upper(v_days) - lower(v_days);
    exception when others then
      get stacked diagnostics v_error = message_text;
      update booking.rollups r
      set last_error = v_error, retry_at = v_now + interval '1 hour'
      where r.tenant_id = v_tenant.tenant_id;
    end;
  end loop;
  return 0;
end
$$;

comment on function booking.roll_up_next() is
  'Rolls up the next dates of a tenant for its analytics; returns how many, or 0 if none is due.';

-- By hand, after past appointments were imported, or mended: what supply and appointments come to
-- on those dates, as far as they have been rolled up; hours, people and places as they are today.
-- What was tried on them stays as it was counted then.
create or replace function booking.roll_up_again(p_tenant_id uuid, p_from date, p_to date)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_rolled_until date;
  v_days daterange;
begin
  select r.rolled_until into v_rolled_until
  from booking.rollups r
  where r.tenant_id = p_tenant_id
  for no key update;
  if not found then
    -- The job's first step takes whatever is there.
    return;
  end if;

  v_days := daterange(p_from, least(p_to, v_rolled_until), '[]');
  delete from booking.daily_supply r where r.tenant_id = p_tenant_id and r.date <@ v_days;
  insert into booking.daily_supply
  select s.* from booking.supply_of(p_tenant_id, v_days) s;
  perform booking.roll_up_outcomes(p_tenant_id, v_days, v_days);
end
$$;

comment on function booking.roll_up_again(uuid, date, date) is
  'Rolls up supply, appointments and bookings of past dates (tenant''s zone, inclusive) once more.';

-- sql/45_analytics/supply.sql

-- Figures of what people had to offer, by hours of their places: starts on their grids, each once
-- whatever the service, booked or not, but for those in a busy time; and minutes of working time.
-- As the calculator sees it now: hours that were changed after the date, and people, places and
-- services that are no longer active, change what it says of a past date. Therefore it is asked on
-- the day after, and not again.
create or replace function booking.supply_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_supply
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id and s.is_active
  );
begin
  if isempty(p_days) or p_days is null then
    return;
  end if;

  return query
  with places as (
    select l.id, coalesce(l.timezone, t.timezone) as zone
    from booking.tenants t
    join booking.locations l on l.tenant_id = t.id
    where t.id = p_tenant_id and t.is_active and l.is_active
  ),
  starts as (
    select distinct c.staff_id, c.location_id, c.start_time
    from booking.calculate_slots(p_tenant_id, null, lower(p_days), upper(p_days) - 1) c
    where c.is_on_grid
  ),
  windows as (
    select w.staff_id, w.location_id, p.zone,
      unnest(range_agg(tstzrange(w.starts_at, w.ends_at))) as period
    from booking.working_time(
      p_tenant_id, v_staff_ids, lower(p_days) - 1, upper(p_days) - 1
    ) w
    join places p on p.id = w.location_id
    group by w.staff_id, w.location_id, p.zone
  ),
  figures as (
    select s.staff_id, s.location_id, s.start_time at time zone p.zone as local_time,
      1 as offered, interval '0' as worked
    from starts s
    join places p on p.id = s.location_id
    where not exists (
      select
      from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.staff_id = s.staff_id
        and b.end_time > s.start_time and b.start_time <= s.start_time
    )
    union all
    select w.staff_id, w.location_id, hour at time zone w.zone, 0,
      least(upper(w.period), hour + interval '1 hour') - greatest(lower(w.period), hour)
    from windows w
    cross join lateral generate_series(
      date_trunc('hour', lower(w.period), w.zone), upper(w.period), interval '1 hour'
    ) as hour
    where hour < upper(w.period)
  )
  select
    p_tenant_id, gen_random_uuid(), f.local_time::date,
    date_trunc('week', f.local_time::date::timestamp)::date,
    extract(hour from f.local_time)::integer, f.staff_id, f.location_id, sum(f.offered)::bigint,
    (extract(epoch from sum(f.worked)) / 60)::bigint
  from figures f
  where f.local_time::date <@ p_days
  group by f.local_time::date, extract(hour from f.local_time), f.staff_id, f.location_id;
end
$$;

comment on function booking.supply_of(uuid, daterange) is
  'Starts on offer and working minutes of those dates (the places'' zones), as booking.daily_supply
keeps them.';

create or replace function booking.live_supply(p_tenant_id uuid)
returns setof booking.daily_supply
language sql stable parallel safe security definer
set search_path = ''
as $$
  select s.* from booking.supply_of(p_tenant_id, booking.live_days(p_tenant_id)) s
$$;

comment on function booking.live_supply(uuid) is
  'booking.supply_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.supply_by_day() returns table (
  tenant_id uuid,
  date date,
  week date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  offered bigint,
  working_minutes bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.offered,
    r.working_minutes
  from booking.daily_supply r
  union all
  select t.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.offered,
    r.working_minutes
  from booking.analysed_tenants() t
  cross join lateral booking.live_supply(t.tenant_id) r
$$;

comment on function booking.supply_by_day() is
  'booking.daily_supply with the dates that are not rolled up yet.';

-- sql/50_triggers/appointments.sql

-- An appointment written by hand wins over holds: those of other slots that it overlaps or leaves
-- no time to travel to go, and of its own class only the one with its seat. Over appointments
-- nobody wins: where there is no time to travel the write fails. Then the days around old and new
-- claims are recalculated. Runs as the owner because only the owner writes slots and holds.
create or replace function booking.appointments_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_claims tstzrange[];
  v_new_ids uuid[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_claims, v_new_ids in
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
        select gone.*, false as is_new
        from (select * from before_change except select * from after_change) as gone
        union all
        select come.*, true
        from (select * from after_change except select * from before_change) as come
      )
      select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim),
        array_agg(c.id) filter (where c.is_new)
      from changed c
      group by c.tenant_id
    loop
      perform booking.require_travel_time(v_tenant_id, v_new_ids);
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_claims, v_new_ids in
    select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim), array_agg(c.id)
    from changed_rows c
    where c.status <> 'cancelled'
    group by c.tenant_id
  loop
    if tg_op = 'INSERT' then
      perform booking.require_travel_time(v_tenant_id, v_new_ids);
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
-- Planned once a session: to plan costs more than what is planned.
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_caller_id uuid := booking.caller_id();
  v_caller_role text := coalesce(booking.caller_role(), session_user);
  v_is_direct boolean := coalesce(current_setting('booking.is_audited', true), '') <> 'on';
  v_address_hash bytea;
  v_before booking.appointments[];
  v_after booking.appointments[];
begin
  if v_is_direct then
    v_address_hash := booking.address_hash();
  end if;
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
    where c.action is not null and v_is_direct
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
--
-- A booking function that puts an appointment in the hold's place in the same transaction says so
-- by booking.refresh_follows: the appointment's trigger then publishes the days around both.
--
-- Mostly the hold columns around them are all that changes (refresh_holds). Days are calculated
-- anew where a person has a day limit, and where a hold's slot is not published as available: it
-- may be there for its hold alone, and go with it.
create or replace function booking.slot_reservations_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
-- Planned once a session. What is set here holds for what is called below, too, and the calculator
-- hashes: no way to join is switched off.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_rows booking.slot_reservations[];
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_location_ids uuid[];
  v_claims tstzrange[];
  v_day_staff_ids uuid[];
  v_day_claims tstzrange[];
begin
  if current_setting('booking.refresh_follows', true) = 'on' then
    return null;
  end if;

  if tg_op = 'UPDATE' then
    v_rows := array(select o from old_rows o union all select n from changed_rows n);
  else
    v_rows := array(select c from changed_rows c);
  end if;

  for v_tenant_id, v_staff_ids, v_location_ids, v_claims, v_day_staff_ids, v_day_claims in
    select h.tenant_id,
      array_agg(h.staff_id) filter (where not h.is_of_days),
      array_agg(h.location_id) filter (where not h.is_of_days),
      array_agg(h.claim) filter (where not h.is_of_days),
      array_agg(h.staff_id) filter (where h.is_of_days),
      array_agg(h.claim) filter (where h.is_of_days)
    from (
      select r.tenant_id, r.staff_id, r.location_id, r.claim,
        p.max_appointments_per_day is not null
          or not coalesce(s.is_available, tg_op = 'DELETE') as is_of_days
      from unnest(v_rows) as r
      join booking.staff p on p.tenant_id = r.tenant_id and p.id = r.staff_id
      -- One look at the index for each hold, whatever the planner expects.
      cross join lateral (
        select (
          select t.is_available
          from booking.availability_slots t
          where t.tenant_id = r.tenant_id and t.id = r.slot_id
        ) as is_available
      ) as s
    ) as h
    group by h.tenant_id
  loop
    if v_staff_ids is not null then
      perform booking.refresh_holds(v_tenant_id, v_staff_ids, v_location_ids, v_claims);
    end if;
    if v_day_staff_ids is not null then
      perform booking.refresh_around(v_tenant_id, v_day_staff_ids, v_day_claims);
    end if;
  end loop;
  return null;
end
$$;

-- Under the lock: expired holds go before a new one comes, what the shape and type say is filled
-- in, and a live appointment is refused as it would be by the other side.
create or replace function booking.check_hold() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
-- One look at the index for each hold, whatever was in the tables when the plans were made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval;
begin
  if tg_op = 'UPDATE' and new.slot_id = old.slot_id then
    return new;
  end if;

  if tg_op = 'INSERT' then
    perform
    from booking.slot_reservations h
    where h.tenant_id = new.tenant_id and h.staff_id = new.staff_id and h.expires_at <= v_now;
    -- Seldom, and the statement's own triggers cost more than to look.
    if found then
      delete from booking.slot_reservations h
      where h.tenant_id = new.tenant_id and h.staff_id = new.staff_id and h.expires_at <= v_now;
    end if;
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

  v_way := booking.longest_travel(new.tenant_id);
  if exists (
    select from booking.appointments a
    where a.tenant_id = new.tenant_id and a.staff_id = new.staff_id
      and a.claim && booking.widened(new.claim, v_way)
      and upper(a.claim) > lower(new.claim) - v_way and a.status <> 'cancelled'
      and (a.slot_id is distinct from new.slot_id or a.seat = new.seat)
      and new.claim && booking.barred_period(
        new.tenant_id, a.claim, a.location_id, new.location_id
      )
  ) then
    raise exception using
      errcode = 'exclusion_violation',
      message = 'a hold cannot overlap a live appointment or the way to or from it';
  end if;
  return new;
end
$$;

-- sql/70_api/booking_funnel.sql

-- From the search to the appointment that was kept, for a tenant's admins.
create or replace view api.booking_funnel with (security_invoker = true) as
select
  f.tenant_id, f.date, f.staff_id, f.appointment_type_id,
  sum(f.searches)::bigint as searches,
  sum(f.searches_without_result)::bigint as searches_without_result,
  sum(f.holds)::bigint as holds,
  sum(f.bookings)::bigint as bookings,
  sum(f.kept)::bigint as kept,
  sum(f.timed)::bigint as timed_bookings,
  round(sum(f.seconds) / nullif(sum(f.timed), 0), 1) as seconds_to_book
from (
  select
    a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
    case when a.action = 'search' then a.attempts else 0 end as searches,
    case when a.action = 'search' and a.code is not null then a.attempts else 0 end
      as searches_without_result,
    case when a.action = 'hold' then a.attempts else 0 end as holds,
    0 as bookings, 0 as kept, a.timed, a.seconds
  from booking.attempts_by_day() a
  where a.code is null or a.action = 'search'
  union all
  select b.tenant_id, b.date, b.staff_id, b.appointment_type_id, 0, 0, 0, b.bookings, b.kept, 0, 0
  from booking.bookings_by_day() b
) as f
group by f.tenant_id, f.date, f.staff_id, f.appointment_type_id;

comment on view api.booking_funnel is
  'Searches, holds, bookings, and what was kept
For a tenant''s admins, by the date of the step (tenant''s zone), person and service (null: none was
named). searches: listings asked for by POST, from a sample, where the tenant counts them. holds:
slots that a session held, once a day. bookings: appointments made through create_appointment; kept:
those of them that were neither cancelled nor missed until now. seconds_to_book: from the first hold
to the booking, on average over timed_bookings, those whose hold is on record. Past days are rolled
up, today is live.';

-- sql/70_api/cancellations.sql

-- Appointments that did not take place, for a tenant's admins.
create or replace view api.cancellations with (security_invoker = true) as
select
  a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
  sum(a.appointments)::bigint as appointments,
  sum(a.cancelled)::bigint as cancelled,
  sum(a.no_shows)::bigint as no_shows,
  sum(a.cancelled_late)::bigint as cancelled_late,
  sum(a.notice_minutes)::bigint as notice_minutes,
  round(100.0 * sum(a.cancelled) / sum(a.appointments), 1) as cancellation_percent,
  round(100.0 * sum(a.no_shows) / sum(a.appointments), 1) as no_show_percent,
  round(sum(a.notice_minutes) / 60.0 / nullif(sum(a.cancelled), 0), 1) as average_notice_hours
from booking.appointments_by_day() a
group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id;

comment on view api.cancellations is
  'Cancelled and missed appointments, and the notice given
For a tenant''s admins, by the date of the appointment (the place''s zone), person and service.
appointments: all, cancelled ones included. cancelled_late: with less than 24 hours'' notice.
notice_minutes: from the cancellation to the start, in all; 0 where it came later. Past days are
rolled up, today is live; days to come are left out.';

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
appointment_conflict, customer_limit_reached, idempotency_conflict 409; slot_not_found 404;
invalid_request 400; not_authenticated 401; rate_limited 429; busy 503.';

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
max_results (1 to 1,000, default 1,000); next_page_token is there where more may follow, to be sent
as page_token with the same arguments. Days that are not published are calculated, some in a call: a
page may be short, or empty, and have a next_page_token.
Answers {"success": true, "slots": [{"id", "staff_id", "start_time", "end_time" (UTC),
"duration_minutes", "location_id", "seats_left", "price_cents", "currency"}], "next_page_token"}.
By GET, with ETag. Refusals: range_too_large, invalid_request 400; not_found 404; rate_limited
429; busy 503.';

-- sql/70_api/get_available_times.sql

-- Worker: booking.get_available_times, in the frame of booking.answer.
create or replace function api.get_available_times(
  tenant_id uuid,
  start_date date,
  end_date date,
  appointment_type text,
  location_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_available_times', jsonb_build_object(
    'tenant_id', get_available_times.tenant_id,
    'start_date', get_available_times.start_date,
    'end_date', get_available_times.end_date,
    'appointment_type', get_available_times.appointment_type,
    'location_id', get_available_times.location_id
  ));
end
$$;

comment on function api.get_available_times(uuid, date, date, text, uuid) is
  'List times at which somebody is free
For those who do not mind whom they get: each start of a service (appointment_type, its code) at
each place, with the number of people who can be booked then. start_date and end_date are local
dates of the place, inclusive, at most 62 days. By start_time and location_id, all of them.
Answers {"success": true, "times": [{"start_time", "end_time" (UTC), "duration_minutes",
"location_id", "free_staff", "lowest_price_cents", "highest_price_cents", "currency"}]}.
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
Answers {"success": true, "slots", "searched_until"}, slots as get_available_slots does, by
start_time; searched_until (UTC) is there where days that are not published would have to be
calculated after it: ask again with it as from_time. Refusals: invalid_request 400; not_found 404;
rate_limited 429; busy 503.';

-- sql/70_api/hold_refusals.sql

-- Why holds fail, for a tenant's admins.
create or replace view api.hold_refusals with (security_invoker = true) as
select
  a.tenant_id, a.date, a.staff_id, a.appointment_type_id, a.code,
  sum(a.attempts)::bigint as refusals
from booking.attempts_by_day() a
where a.action = 'hold' and a.code is not null
group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id, a.code;

comment on view api.hold_refusals is
  'Why slots could not be held
For a tenant''s admins: refused calls of reserve_slot and reserve_time by date (tenant''s zone),
person, service (null: none is known) and code, such as slot_taken. Calls that were too many are not
on record. Past days are rolled up, today is live.';

-- sql/70_api/lead_times.sql

-- How long ahead appointments are booked, for a tenant's admins.
create or replace view api.lead_times with (security_invoker = true) as
select
  f.tenant_id, f.date, f.staff_id, f.appointment_type_id, f.appointments, f.same_day,
  f.days_1_to_6, f.days_7_to_29, f.days_30_or_more,
  round(f.lead_minutes / 60.0 / f.appointments, 1) as average_lead_hours
from (
  select
    a.tenant_id, a.date, a.staff_id, a.appointment_type_id,
    sum(a.same_day + a.days_1_to_6 + a.days_7_to_29 + a.days_30_or_more)::bigint as appointments,
    sum(a.same_day)::bigint as same_day,
    sum(a.days_1_to_6)::bigint as days_1_to_6,
    sum(a.days_7_to_29)::bigint as days_7_to_29,
    sum(a.days_30_or_more)::bigint as days_30_or_more,
    sum(a.lead_minutes) as lead_minutes
  from booking.appointments_by_day() a
  group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id
) as f
where f.appointments > 0;

comment on view api.lead_times is
  'How long ahead appointments are booked
For a tenant''s admins, by the date of the appointment (the place''s zone), person and service:
appointments, cancelled ones included, by local days from the booking to the start, and the average
in hours. Without those that came from another system, or were written after they began. Past days
are rolled up, today is live; days to come are left out.';

-- sql/70_api/peak_demand.sql

-- When people ask, for a tenant's admins: also those who found nothing.
create or replace view api.peak_demand with (security_invoker = true) as
select
  a.tenant_id, a.date, extract(isodow from a.date)::integer as weekday, a.hour,
  coalesce(sum(a.attempts) filter (where a.action = 'search'), 0)::bigint as searches,
  coalesce(sum(a.attempts) filter (where a.action = 'search' and a.code is not null), 0)::bigint
    as searches_without_result,
  coalesce(sum(a.attempts) filter (where a.action = 'hold' and a.code is null), 0)::bigint
    as holds,
  coalesce(sum(a.attempts) filter (where a.action = 'hold' and a.code is not null), 0)::bigint
    as refused_holds,
  coalesce(sum(a.attempts) filter (where a.action = 'book' and a.code is null), 0)::bigint
    as bookings
from booking.attempts_by_day() a
group by a.tenant_id, a.date, a.hour;

comment on view api.peak_demand is
  'What was asked for, by the hour of asking
For a tenant''s admins. date and hour are those of the call, in the tenant''s zone; weekday is 1
(Monday) to 7. searches are listings asked for by POST, from a sample; searches_without_result found
nothing. holds and bookings succeeded, refused_holds did not. Past days are rolled up, today is
live.';

-- sql/70_api/popular_slots.sql

-- Which times of the week people want, for a tenant's admins: sum it over the dates in question.
-- Dates to come are left out; their holds are counted already.
create or replace view api.popular_slots with (security_invoker = true) as
select
  f.tenant_id, f.location_id, f.date, extract(isodow from f.date)::integer as weekday, f.hour,
  sum(f.offered)::bigint as offered, sum(f.held)::bigint as held, sum(f.booked)::bigint as booked
from (
  select s.tenant_id, s.location_id, s.date, s.hour, s.offered, 0 as held, 0 as booked
  from booking.supply_by_day() s
  union all
  select h.tenant_id, h.location_id, h.date, h.hour, 0, h.held, 0
  from booking.holds_by_day() h
  union all
  select a.tenant_id, a.location_id, a.date, a.hour, 0, 0, a.starts
  from booking.appointments_by_day() a
) as f
group by f.tenant_id, f.location_id, f.date, f.hour;

comment on view api.popular_slots is
  'Starts offered, held and booked, by local hour
For a tenant''s admins. date and hour are those of the slot''s start, in the place''s zone; weekday
is 1 (Monday) to 7. offered: starts on people''s grids, each person, place and instant once,
whatever the service, booked or not, but for busy times. held: holds that began for such starts.
booked: starts that live appointments take; a class counts once. Past days are rolled up, today is
live; dates to come have what has been held until now, and nothing else.';

-- sql/70_api/reserve_time.sql

-- Worker: booking.reserve_time, in the frame of booking.attempt.
create or replace function api.reserve_time(
  tenant_id uuid,
  start_time timestamptz,
  appointment_type text,
  session_id text,
  location_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reserve_time', jsonb_build_object(
    'tenant_id', reserve_time.tenant_id,
    'start_time', reserve_time.start_time,
    'appointment_type', reserve_time.appointment_type,
    'session_id', reserve_time.session_id,
    'location_id', reserve_time.location_id
  ));
end
$$;

comment on function api.reserve_time(uuid, timestamptz, text, text, uuid) is
  'Hold a time with whoever is free
A start of get_available_times, for the service of that code. Of those who are free it is the person
with the fewest appointments in that week, then who has been idle longest, then by id. session_id is
a secret of your own making, as in reserve_slot, and calls of both are counted together.
Answers as reserve_slot does, with "staff_id", "location_id", "start_time" and "end_time" (UTC).
Asked again by the same session, the answer is the same, and so is its end. Refusals: slot_taken,
hold_limit_reached, appointment_conflict 409; not_found 404; invalid_request 400; rate_limited 429;
busy 503.';

-- sql/70_api/staff_utilisation.sql

-- How much of people's working time is booked, by week, for a tenant's admins.
create or replace view api.staff_utilisation with (security_invoker = true) as
select
  f.tenant_id, f.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = f.tenant_id and s.id = f.staff_id
  ) as staff_name,
  f.week,
  sum(f.working_minutes)::bigint as working_minutes,
  sum(f.booked_minutes)::bigint as booked_minutes,
  sum(f.buffer_minutes)::bigint as buffer_minutes,
  sum(f.travel_minutes)::bigint as travel_minutes,
  round(100.0 * sum(f.booked_minutes) / nullif(sum(f.working_minutes), 0), 1)
    as utilisation_percent
from (
  select s.tenant_id, s.staff_id, s.week, s.working_minutes, 0 as booked_minutes,
    0 as buffer_minutes, 0 as travel_minutes
  from booking.supply_by_day() s
  union all
  select a.tenant_id, a.staff_id, a.week, 0, a.booked_minutes, a.buffer_minutes, a.travel_minutes
  from booking.appointments_by_day() a
) as f
group by f.tenant_id, f.staff_id, f.week;

comment on view api.staff_utilisation is
  'Working time and what it was used for, by week
For a tenant''s admins. week is its Monday (the places'' dates). working_minutes: hours without
breaks and closed exceptions. booked_minutes: live appointments from start to end, missed ones
included, a class once. buffer_minutes: before and after them. travel_minutes: between two places
on a date. utilisation_percent: booked of working minutes; above 100 where appointments lie outside
the hours. Past days are rolled up, today is live; days to come are left out.';

-- sql/80_jobs/delete_old_records.sql

-- Deletes, of each kind, up to p_most_rows records that booking.settings no longer keeps, and
-- returns how many in all: attempts on the audit trail and searches, processed events (a reminder
-- stays while the start that it is for lies ahead, or it would be written again), runs of jobs,
-- verifications, and clients whom the rate limiter need not remember. Waits for nobody.
--
-- Call it until it returns 0. Days are counted from the last midnight (UTC), or while it is at work
-- more would grow old, and it would find no end.
create or replace function booking.delete_old_records(p_most_rows integer default 1000)
returns bigint
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_today timestamptz := date_trunc('day', booking.now(), 'UTC');
  v_settings booking.settings;
  v_deleted bigint;
  v_all_deleted bigint := 0;
begin
  select s.* into strict v_settings from booking.settings s;

  delete from booking.audit_log a
  where (a.tenant_id, a.id) in (
    select o.tenant_id, o.id
    from booking.audit_log o
    where o.occurred_at < v_today - v_settings.audit_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.searches s
  where (s.tenant_id, s.id) in (
    select o.tenant_id, o.id
    from booking.searches o
    where o.searched_at < v_today - v_settings.audit_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.events e
  where (e.tenant_id, e.id) in (
    select o.tenant_id, o.id
    from booking.events o
    where o.processed_at < v_today - v_settings.event_retention_days * interval '1 day'
      and (o.kind <> 'reminder_due' or (o.payload ->> 'start_time')::timestamptz <= v_today)
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.job_runs r
  where r.id in (
    select o.id
    from booking.job_runs o
    where o.started_at < v_today - v_settings.job_run_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.verification_runs r
  where (r.tenant_id, r.id) in (
    select o.tenant_id, o.id
    from booking.verification_runs o
    where o.started_at < v_today - v_settings.verification_retention_days * interval '1 day'
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  v_all_deleted := v_all_deleted + v_deleted;

  delete from booking.rate_limits r
  where (r.bucket, r.key) in (
    select o.bucket, o.key
    from booking.rate_limits o
    where o.tat < v_today
    limit p_most_rows
    for update skip locked
  );
  get diagnostics v_deleted = row_count;
  return v_all_deleted + v_deleted;
end
$$;

comment on function booking.delete_old_records(integer) is
  'Deletes up to p_most_rows records of each kind that are older than booking.settings keeps them;
returns how many. 0: none are left, or only such as someone is using.';

-- sql/80_jobs/run_job.sql

-- Runs a job of booking.jobs: its command again and again, each time in a transaction of its own,
-- until it returns 0. Keeps a row in job_runs, whose rows_affected grows with each step. Call it
-- outside a transaction block, as a login role that is a member of booking_owner.
--
-- Two runs of one job cannot overlap: each step holds an advisory lock until its transaction ends,
-- and goes on only while its run is open. Not a lock of the session: a cancel that comes between
-- two steps cannot be caught, and in a pool the session would keep it. Whoever finds the lock
-- taken, or the job disabled, does nothing and gets null. A run that is open though nobody holds
-- the lock is between two steps, or dead: one that has not moved a moment later is closed as
-- interrupted.
--
-- A step that fails, or is cancelled, is taken back, and those before it stay. Its error is kept,
-- and raised again, so that whoever called sees it. The next run goes on. A step waits for a lock
-- for five seconds at most.
--
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
create or replace procedure booking.run_job(p_name text, inout p_run_id bigint default null)
language plpgsql
as $$
declare
  c_moment constant double precision := 0.2;  -- seconds
  c_jobs constant integer := pg_catalog.hashtext('booking.jobs');
  v_job booking.jobs;
  v_open text;
  v_open_before text;
  v_step bigint;
  v_state text;
  v_error text;
begin
  -- Inside a transaction block this fails at once.
  commit;

  p_run_id := null;
  select j.* into v_job from booking.jobs j where j.name = p_name;
  if not found then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = pg_catalog.format('there is no job "%s" in booking.jobs', p_name);
  end if;
  if not v_job.is_enabled then
    raise notice 'job "%" is disabled', p_name;
    return;
  end if;

  loop
    v_open := null;
    if pg_catalog.pg_try_advisory_xact_lock(c_jobs, pg_catalog.hashtext(p_name)) then
      -- Each step that was done is another version of the run's row.
      select pg_catalog.string_agg(r.id || ' ' || r.xmin, ' ' order by r.id) into v_open
      from booking.job_runs r
      where r.job_name = p_name and r.finished_at is null;
      exit when v_open is null or v_open = v_open_before;
    end if;
    if v_open is null or v_open_before is not null then
      raise notice 'job "%" is running already', p_name;
      return;
    end if;
    v_open_before := v_open;
    commit;
    perform pg_catalog.pg_sleep(c_moment);
  end loop;

  update booking.job_runs r
  set finished_at = greatest(r.started_at, booking.now()), error = 'interrupted'
  where r.job_name = p_name and r.finished_at is null;
  insert into booking.job_runs (job_name, rows_affected) values (p_name, 0)
  returning id into p_run_id;
  commit;

  loop
    begin
      v_step := null;
      perform pg_catalog.set_config('lock_timeout', '5s', true);
      perform pg_catalog.pg_advisory_xact_lock(c_jobs, pg_catalog.hashtext(p_name));
      -- Closed by another run, which has taken this one for dead and goes on alone.
      exit when not exists (
        select from booking.job_runs r where r.id = p_run_id and r.finished_at is null
      );
      execute v_job.command into v_step;
      update booking.job_runs r
      set rows_affected = r.rows_affected + coalesce(v_step, 0)
      where r.id = p_run_id;
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
    end;
    if v_error is not null or coalesce(v_step, 0) = 0 then
      update booking.job_runs r
      set finished_at = greatest(r.started_at, booking.now()), error = v_error
      where r.id = p_run_id and r.finished_at is null;
    end if;
    commit;
    exit when v_error is not null or coalesce(v_step, 0) = 0;
  end loop;

  if v_error is not null then
    raise exception using
      errcode = v_state, message = pg_catalog.format('job "%s" failed: %s', p_name, v_error);
  end if;
end
$$;

comment on procedure booking.run_job(text, bigint) is
  'Runs a job of booking.jobs to its end and returns the id of its row in job_runs; null if it is
running already or disabled. Call it outside a transaction block.';

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

-- Analytics, for admins: the policies and booking.live_days say whose.
grant select on
  booking.daily_attempts, booking.daily_supply, booking.daily_holds, booking.daily_bookings,
  booking.daily_appointments
to authenticated, service_role;

grant execute on function booking.analysed_tenants to authenticated, service_role;

grant execute on function booking.live_attempts to authenticated, service_role;

grant execute on function booking.attempts_by_day to authenticated, service_role;

grant execute on function booking.live_supply to authenticated, service_role;

grant execute on function booking.supply_by_day to authenticated, service_role;

grant execute on function booking.live_holds to authenticated, service_role;

grant execute on function booking.holds_by_day to authenticated, service_role;

grant execute on function booking.live_bookings to authenticated, service_role;

grant execute on function booking.bookings_by_day to authenticated, service_role;

grant execute on function booking.live_appointments to authenticated, service_role;

grant execute on function booking.appointments_by_day to authenticated, service_role;

grant select on
  api.popular_slots, api.booking_funnel, api.hold_refusals, api.peak_demand, api.staff_utilisation,
  api.cancellations, api.lead_times
to authenticated, service_role;

-- The functions: thin ones run as their caller, who may call the two frames that do the work as the
-- owner, and nothing behind them.
grant execute on function booking.attempt to anon, authenticated, service_role;

grant execute on function booking.answer to anon, authenticated, service_role;

grant execute on function api.reserve_slot to anon, authenticated, service_role;

grant execute on function api.reserve_time to anon, authenticated, service_role;

grant execute on function api.get_reservations to anon, authenticated, service_role;

grant execute on function api.release_slot to anon, authenticated, service_role;

grant execute on function api.reschedule_appointment to anon, authenticated, service_role;

grant execute on function api.cancel_appointment to anon, authenticated, service_role;

grant execute on function api.get_tenant to anon, authenticated, service_role;

grant execute on function api.get_available_slots to anon, authenticated, service_role;

grant execute on function api.get_available_times to anon, authenticated, service_role;

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
