-- The engine: everything in sql/, in its order. Written by `make engine`; edit sql/ instead.
-- depends: 0006.records

set local role booking_owner;

set local check_function_bodies = off;

-- sql/10_foundation/cache_control.sql

-- How long edges and browsers may keep an answer, by default that of a view: anonymous answers are
-- everybody's, others nobody else's. Runs as the owner because nobody else may read settings. Reads
-- only.
create or replace function booking.cache_control(p_seconds integer default null) returns text
language sql stable parallel safe security definer
set search_path = ''
as $$
  select case booking.caller_role()
    when 'anon' then format('public, max-age=0, s-maxage=%s', coalesce(p_seconds, s.cache_seconds))
    else 'private, no-cache'
  end
  from booking.settings s
$$;

comment on function booking.cache_control(integer) is
  'The value of Cache-Control for what the caller reads: p_seconds at edges (null: as for views).';

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

-- What is no object is no membership; whoever makes tokens may have put anything there.
create or replace function booking.caller_memberships()
returns table (tenant_id text, membership jsonb)
language sql stable parallel safe
set search_path = ''
as $$
  select m.key, m.value
  from booking.caller_claims() as c(claims)
  cross join jsonb_each(case jsonb_typeof(c.claims #> '{app_metadata,tenants}')
    when 'object' then c.claims #> '{app_metadata,tenants}'
  end) as m
$$;

comment on function booking.caller_memberships() is
  'The memberships that the caller''s token claims: tenant id and {"role", "staff_id"}, unchecked.';

-- The tenants whose calendars the token's bearer may see (p_role null) or, as "admin" or "staff",
-- write; and the people whom staff are, in whichever tenant. Policies ask them once per query.
create or replace function booking.member_tenant_ids(p_role text default null) returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select m.key::uuid
    from booking.caller_memberships() as m(key, membership)
    where m.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      and m.membership ->> 'role' in ('admin', 'staff')
      and (p_role is null or m.membership ->> 'role' = p_role)
  )
$$;

comment on function booking.member_tenant_ids(text) is
  'The tenants of which the caller''s token says that they are "admin" or "staff" (null: either).';

create or replace function booking.member_staff_ids() returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select (m.membership ->> 'staff_id')::uuid
    from booking.caller_memberships() as m(key, membership)
    where m.membership ->> 'role' = 'staff' and m.membership ->> 'staff_id'
      ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
  )
$$;

comment on function booking.member_staff_ids() is
  'The staff_ids that the caller''s token names, in any tenant.';

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

-- Whether the token lets its bearer write this calendar (staff their own, admins and the service
-- every one; p_staff_id null means something that concerns the whole tenant).
create or replace function booking.caller_may_write(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.caller_claims();
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

-- sql/10_foundation/memberships.sql

-- Memberships: rows of booking.members, rendered into tokens. What the token says is what policies
-- believe, so a change takes effect with the user's next token.

create or replace function booking.token_claims(p_user_id uuid) returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select jsonb_build_object('tenants', coalesce(
    jsonb_object_agg(
      m.tenant_id, jsonb_build_object('role', m.role, 'staff_id', m.staff_id)
    ),
    '{}'
  ))
  from booking.members m
  where m.user_id = p_user_id
$$;

comment on function booking.token_claims(uuid) is
  'What belongs into app_metadata of a user''s token: {"tenants": {"<tenant_id>": {"role",
"staff_id"}}}.';

-- Supabase calls it, as supabase_auth_admin, for each token that it makes; runs as the owner
-- because that role may read no table of ours. Whatever the event says of tenants is replaced: only
-- booking.members counts.
create or replace function booking.custom_access_token_hook(event jsonb) returns jsonb
language plpgsql stable parallel safe security definer
set search_path = ''
as $$
begin
  return jsonb_set(
    custom_access_token_hook.event, '{claims}',
    case jsonb_typeof(custom_access_token_hook.event -> 'claims')
      when 'object' then custom_access_token_hook.event -> 'claims'
      else '{}'
    end || jsonb_build_object('app_metadata',
      case jsonb_typeof(custom_access_token_hook.event #> '{claims,app_metadata}')
        when 'object' then custom_access_token_hook.event #> '{claims,app_metadata}'
        else '{}'
      end || booking.token_claims((custom_access_token_hook.event ->> 'user_id')::uuid)
    )
  );
end
$$;

comment on function booking.custom_access_token_hook(jsonb) is
  'Supabase''s hook: puts the user''s memberships into claims.app_metadata.tenants.';

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
  if booking.caller_claims() is not null
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

-- sql/10_foundation/seconds_to_wait.sql

-- The rate limiter: GCRA, one atomic upsert a call, numbers per minute in booking.settings, as many
-- at once as in a minute. Counts a call of the bucket and says how many seconds its caller has to
-- wait, 0 where it may go on. Whoever is refused does not have to wait longer for it, but is
-- counted.
--
-- Bookings count by user where one is signed in, everything else by address (IPv6 by its /64).
-- Not counted: reading transactions (GET: the edge counts those), the service but for
-- recalculating, and calls that came through no PostgREST or through no proxy of ours
-- (settings.trusted_proxies = 0), because these have no address. Where a proxy is trusted and sent
-- none, all such callers share one count.
--
-- Locks the client's row of rate_limits until the transaction ends: call it before any calendar
-- is locked, and only in a transaction of one call. Equal calls of one client wait for each other
-- therefore; who waits in vain is told to come back in a second.
create or replace function booking.seconds_to_wait(p_bucket text) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most constant interval := interval '1 minute';
  v_now timestamptz := booking.now();
  v_settings booking.settings;
  v_per_minute integer;
  v_interval interval;
  v_client text;
  v_key text;
  v_tat timestamptz;
begin
  if current_setting('transaction_read_only') = 'on'
    or (booking.caller_role() = 'service_role' and p_bucket <> 'recalculate_availability')
  then
    return 0;
  end if;

  select s.* into v_settings from booking.settings s;
  v_per_minute := case
    when p_bucket = 'read' then v_settings.reads_per_minute
    when p_bucket in ('reserve_slot', 'release_slot') then v_settings.reserves_per_minute
    when p_bucket = 'recalculate_availability' then v_settings.recalculations_per_minute
    else v_settings.bookings_per_minute
  end;
  -- Rounded down, so that as many as in a minute fit into one.
  v_interval := trunc(60.0 / v_per_minute, 6) * interval '1 second';

  if p_bucket not in ('read', 'reserve_slot', 'release_slot', 'recalculate_availability') then
    v_client := booking.caller_id()::text;
  end if;
  if v_client is null and v_settings.trusted_proxies > 0
    and nullif(current_setting('request.headers', true), '') is not null
  then
    v_client := coalesce(booking.client_network()::text, 'unknown');
  end if;
  if v_client is null then
    return 0;
  end if;
  v_key := encode(sha256(convert_to(v_settings.hash_salt::text || v_client, 'UTF8')), 'hex');

  -- What is further ahead than two minutes shows that somebody has put the clock back. Two and not
  -- one: another call may have read the clock later and come first.
  insert into booking.rate_limits as r (bucket, key, tat)
  values (p_bucket, v_key, v_now + v_interval)
  on conflict (bucket, key) do update
  set tat = v_interval + case
    when r.tat between v_now and v_now + 2 * c_most then r.tat else v_now
  end
  where r.tat <= v_now + c_most - v_interval or r.tat > v_now + 2 * c_most
  returning r.tat into v_tat;
  if found then
    return 0;
  end if;

  update booking.rate_limits r
  set refused = r.refused + 1
  where r.bucket = p_bucket and r.key = v_key
  returning r.tat into v_tat;
  return greatest(1, ceil(extract(epoch from v_tat + v_interval - c_most - v_now)));
exception when lock_not_available or serialization_failure or query_canceled then
  return 1;
end
$$;

comment on function booking.seconds_to_wait(text) is
  'Counts a call of that bucket by the caller, and returns 0 or the seconds until the next one may
come.';

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

-- sql/20_calculator/local_text.sql

-- An instant as people at a place read it. Reads nothing, refuses nothing.
create or replace function booking.local_text(p_time timestamptz, p_zone text) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select to_char(p_time at time zone p_zone, 'Dy FMDD Mon YYYY, HH24:MI')
    || case when extract(second from p_time) <> 0
      then to_char(p_time at time zone p_zone, ':SS') else '' end
$$;

comment on function booking.local_text(timestamptz, text) is
  'The instant by the clocks of an IANA zone: Mon 2 Mar 2026, 09:00.';

-- sql/20_calculator/period_text.sql

-- A period as people at a place read it; its end without the date where that is the start's. Reads
-- nothing, refuses nothing.
create or replace function booking.period_text(
  p_from timestamptz,
  p_until timestamptz,
  p_zone text
) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select booking.local_text(p_from, p_zone) || ' to ' || case
    when split_part(booking.local_text(p_from, p_zone), ', ', 1)
      = split_part(booking.local_text(p_until, p_zone), ', ', 1)
    then split_part(booking.local_text(p_until, p_zone), ', ', 2)
    else booking.local_text(p_until, p_zone)
  end
$$;

comment on function booking.period_text(timestamptz, timestamptz, text) is
  'The period by the clocks of an IANA zone: Mon 2 Mar 2026, 09:00 to 17:00.';

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

-- sql/20_calculator/schedule_rows.sql

-- The rows behind rule 1 for one person and place, on the dates around an instant: what opens
-- (weekly hours of a date, or the "open" exceptions that replace them) and what is cut from it
-- (breaks, "closed" exceptions), each with the period that it means there. For explaining only; the
-- verdict is working_time's. Reads only, refuses nothing.
--
-- covers: the instant lies in the row's period. What opens is united as local times before those
-- become instants (working_time), so where clocks change it covers what it covers on the wall
-- clock, too.
create or replace function booking.schedule_rows(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_at timestamptz
) returns table (
  source text,
  id uuid,
  is_cut boolean,
  covers boolean,
  local_date date,
  starts_at timestamptz,
  ends_at timestamptz,
  note text
)
language sql stable parallel safe
set search_path = ''
as $$
  with place as (
    select coalesce(l.timezone, t.timezone) as zone
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    where l.tenant_id = p_tenant_id and l.id = p_location_id
  ),
  days as (
    select (p_at at time zone p.zone)::date + n as local_date, p.zone,
      extract(isodow from (p_at at time zone p.zone)::date + n)::integer as weekday
    from place p
    cross join generate_series(-2, 2) as n
  ),
  works_here as (
    select exists (
      select
      from booking.working_hours h
      where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
        and h.location_id = p_location_id
    ) as has_hours
  ),
  exceptions as (
    select e.kind, e.id, d.local_date, d.zone, e.note,
      booking.local_period(d.local_date, e.start_time, e.end_time) as period
    from booking.schedule_exceptions e
    join days d on d.local_date between e.first_date and e.last_date
    cross join works_here w
    where e.tenant_id = p_tenant_id
      and coalesce(e.staff_id, p_staff_id) = p_staff_id
      and coalesce(e.location_id, p_location_id) = p_location_id
      and (
        e.kind = 'closed' or w.has_hours
        or (e.staff_id is not null and e.location_id is not null)
      )
  ),
  rows as (
    select 'schedule_exceptions' as source, e.id, e.kind = 'closed' as is_cut, e.local_date, e.zone,
      e.period, e.note
    from exceptions e
    union all
    select 'working_hours', h.id, false, d.local_date, d.zone,
      booking.local_period(d.local_date, h.start_time, h.end_time), null
    from booking.working_hours h
    join days d
      on d.weekday = h.weekday
      and d.local_date >= coalesce(h.valid_from, d.local_date)
      and d.local_date <= coalesce(h.valid_until, d.local_date)
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
      and h.location_id = p_location_id
      and not exists (
        select from exceptions e where e.kind = 'open' and e.local_date = d.local_date
      )
    union all
    select 'breaks', b.id, true, d.local_date, d.zone,
      booking.local_period(d.local_date, b.start_time, b.end_time), null
    from booking.breaks b
    join days d
      on d.weekday = coalesce(b.weekday, d.weekday)
      and d.local_date >= coalesce(b.valid_from, d.local_date)
      and d.local_date <= coalesce(b.valid_until, d.local_date)
    where b.tenant_id = p_tenant_id
      and coalesce(b.staff_id, p_staff_id) = p_staff_id
      and coalesce(b.location_id, p_location_id) = p_location_id
  )
  select r.source, r.id, r.is_cut,
    (p_at >= t.starts_at and p_at < t.ends_at)
      or (not r.is_cut and r.period @> (p_at at time zone r.zone)),
    r.local_date, t.starts_at, t.ends_at, r.note
  from rows r
  cross join lateral (
    select lower(r.period) at time zone r.zone as starts_at,
      upper(r.period) at time zone r.zone as ends_at
  ) as t
$$;

comment on function booking.schedule_rows(uuid, uuid, uuid, timestamptz) is
  'The rows of working_hours, schedule_exceptions and breaks that make a person''s days at a place,
from two local dates before an instant to two after.';

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

-- sql/30_slots/find_open_slots.sql

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

-- sql/40_booking/answer.sql

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

-- sql/40_booking/cancel_appointment.sql

-- Cancels: the time is free again in the same transaction, by trigger. The reason is kept. A
-- payment stays as it is; whoever pays back learns of the cancellation from the event.
--
-- Locks the appointment's row, then the calendar. Refuses: invalid_request, not_authenticated,
-- not_found, forbidden, invalid_status, too_late.
create or replace function booking.cancel_appointment(
  p_appointment booking.appointments,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_appointment booking.appointments;
begin
  perform booking.require_length('reason', p_request ->> 'reason', 0, 1000, true);
  v_appointment := booking.lock_appointment(p_appointment, p_request);
  perform booking.lock_calendars(v_appointment.tenant_id, array[v_appointment.staff_id]);
  perform booking.require_changeable(v_appointment);

  update booking.appointments a
  set status = 'cancelled', cancel_reason = p_request ->> 'reason'
  where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id;

  return jsonb_build_object(
    'appointment_id', v_appointment.id,
    'status', 'cancelled',
    'message', 'The appointment is cancelled.'
  );
end
$$;

comment on function booking.cancel_appointment(booking.appointments, jsonb) is
  'Worker of api.cancel_appointment: cancels an appointment, or refuses.';

-- sql/40_booking/check_customer.sql

-- What is said about a customer: a JSON object with a name and an email address or a phone number;
-- locale, timezone and whatever else a form asks for are kept as they are. Bounded, and free of
-- control characters where it ends up in mail headers. Refuses: invalid_request, with the field and
-- what was expected; values are the customer's business and are not repeated.
create or replace function booking.check_customer(p_user_data jsonb) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_bytes constant integer := 8192;
  v_field text;
  v_value jsonb;
  v_pattern text;
  v_most integer;
  v_expected text;
begin
  if p_user_data is null or jsonb_typeof(p_user_data) <> 'object' then
    perform booking.refuse('invalid_request', format(
      'user_data is %s; expected an object with a name, and an email or a phone.',
      coalesce(nullif(jsonb_typeof(p_user_data), 'null'), 'missing')
    ));
  end if;

  if octet_length(p_user_data::text) > c_most_bytes then
    perform booking.refuse('invalid_request', format(
      'user_data has %s bytes; expected at most %s.',
      octet_length(p_user_data::text), c_most_bytes
    ));
  end if;

  for v_field, v_pattern, v_most, v_expected in
    values
      ('name', '^[^[:cntrl:]]*[^[:space:][:cntrl:]][^[:cntrl:]]*$', 200, 'Ada Lovelace'),
      ('email', '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$', 320, 'ada@example.org'),
      ('phone', '^(?=.*[0-9].*[0-9].*[0-9])[0-9 +()/.-]+$', 50, '+43 1 234 56 78'),
      ('locale', '^[A-Za-z0-9_-]+$', 35, 'de-AT'),
      ('timezone', '^[A-Za-z0-9_/+-]+$', 100, 'Europe/Berlin')
  loop
    v_value := p_user_data -> v_field;
    -- All but the name may be missing.
    continue when v_field <> 'name' and coalesce(jsonb_typeof(v_value), 'null') = 'null';
    if coalesce(jsonb_typeof(v_value), 'null') <> 'string'
      or length(v_value #>> '{}') > v_most
      or not (v_value #>> '{}') ~ v_pattern
    then
      perform booking.refuse('invalid_request', format(
        'user_data.%s is %s; expected something like "%s", at most %s characters.', v_field,
        case
          when coalesce(jsonb_typeof(v_value), 'null') = 'null' then 'missing'
          when jsonb_typeof(v_value) <> 'string' then 'of type ' || jsonb_typeof(v_value)
          when length(v_value #>> '{}') > v_most
          then length(v_value #>> '{}') || ' characters long'
          else 'not valid'
        end,
        v_expected, v_most
      ));
    end if;
  end loop;

  if coalesce(p_user_data ->> 'email', p_user_data ->> 'phone') is null then
    perform booking.refuse(
      'invalid_request', 'user_data has neither email nor phone; expected one of them.'
    );
  end if;
end
$$;

comment on function booking.check_customer(jsonb) is
  'Refuses user_data (invalid_request) unless it names a customer and how to reach them.';

-- sql/40_booking/cleanup_expired_slot_reservations.sql

-- Deletes holds whose time is over, oldest first, and returns how many. Housekeeping only: an
-- expired hold is free for the next caller at once, whatever this does. One call takes few
-- calendars, and of these only such as nobody is writing (skip locked): a booker waits for it as
-- long as one call takes at the most. Call it until it returns 0. Calendars are locked before
-- their holds, as everybody does.
create or replace function booking.cleanup_expired_slot_reservations(
  p_most_calendars integer default 20
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_cleared integer;
  v_all_cleared integer := 0;
begin
  for v_tenant_id, v_staff_ids in
    with locked as (
      select c.tenant_id, c.staff_id
      from (
        select h.tenant_id, h.staff_id
        from booking.slot_reservations h
        where h.expires_at <= v_now
        group by h.tenant_id, h.staff_id
        order by min(h.expires_at)
        limit p_most_calendars
      ) as due
      join booking.calendars c on c.tenant_id = due.tenant_id and c.staff_id = due.staff_id
      order by c.tenant_id, c.staff_id
      for no key update of c skip locked
    )
    select l.tenant_id, array_agg(l.staff_id) from locked l group by l.tenant_id
  loop
    delete from booking.slot_reservations h
    where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids) and h.expires_at <= v_now;
    get diagnostics v_cleared = row_count;
    v_all_cleared := v_all_cleared + v_cleared;
  end loop;
  return v_all_cleared;
end
$$;

comment on function booking.cleanup_expired_slot_reservations(integer) is
  'Deletes expired holds of up to p_most_calendars calendars that nobody is writing; returns how
many holds. 0: none are left, or only in calendars being written.';

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

-- sql/40_booking/customer_data.sql

-- A customer's rights: to get what is kept about them, and to have it erased. A customer is a user
-- (customer_id), or a guest by the email address they gave. For the owner and the operator; nobody
-- else may call these.

-- Their appointments: those of the user, and those of guests with that address, whatever its case.
create or replace function booking.appointments_of_customer(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_email text
) returns setof booking.appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_customer_id is null and p_email is null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'p_customer_id and p_email are both null; expected one of them';
  end if;

  return query
  select a.*
  from booking.appointments a
  where a.tenant_id = p_tenant_id
    and (
      a.customer_id = p_customer_id
      or (
        a.customer_id is null
        and lower(btrim(a.customer ->> 'email')) = lower(btrim(p_email))
      )
    );
end
$$;

comment on function booking.appointments_of_customer(uuid, uuid, text) is
  'Appointments of a user, and of guests who gave this email address.';

create or replace function booking.export_customer(
  p_tenant_id uuid,
  p_customer_id uuid default null,
  p_email text default null
) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'tenant_id', p_tenant_id,
    'exported_at', booking.iso_time(booking.now()),
    'appointments', coalesce((
      select jsonb_agg(
        to_jsonb(a) - '{claim,request_hash,manage_token_hash,slot_id,shape_id}'::text[]
          || jsonb_build_object('staff', s.display_name, 'location', l.name, 'service', y.name)
        order by a.start_time
      )
      from booking.appointments_of_customer(p_tenant_id, p_customer_id, p_email) a
      join booking.staff s on s.tenant_id = a.tenant_id and s.id = a.staff_id
      join booking.locations l on l.tenant_id = a.tenant_id and l.id = a.location_id
      join booking.appointment_types y
        on y.tenant_id = a.tenant_id and y.id = a.appointment_type_id
    ), '[]'),
    'holds', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'start_time', booking.iso_time(h.start_time),
          'reserved_until', booking.iso_time(h.expires_at)
        ) order by h.start_time
      )
      from booking.slot_reservations h
      where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id
    ), '[]'),
    'attempts', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'occurred_at', booking.iso_time(l.occurred_at),
          'action', l.action,
          'outcome', l.outcome,
          'code', l.code
        ) order by l.occurred_at
      )
      from booking.audit_log l
      where l.tenant_id = p_tenant_id and l.actor_id = p_customer_id
    ), '[]')
  );
end
$$;

comment on function booking.export_customer(uuid, uuid, text) is
  'Everything that is kept about a customer of a tenant (by user id, by email address, or both), as
JSON.';

-- The appointments stay, the person goes: from the appointments, and with their holds. What remains
-- is the audit trail, which knows a user by id only and has its retention, and the payment's
-- reference, which the books need. Locks the appointments' rows, then the calendars of their holds.
create or replace function booking.erase_customer(
  p_tenant_id uuid,
  p_customer_id uuid default null,
  p_email text default null
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_erased integer;
begin
  update booking.appointments a
  set customer_id = null,
    customer = '{}',
    notes = null,
    cancelled_by = nullif(a.cancelled_by, a.customer_id),
    cancel_reason = null,
    idempotency_key = null,
    request_hash = null,
    manage_token_hash = null
  from booking.appointments_of_customer(p_tenant_id, p_customer_id, p_email) c
  where a.tenant_id = p_tenant_id and a.id = c.id;
  get diagnostics v_erased = row_count;

  -- What they cancelled for others, with a manage_token.
  update booking.appointments a
  set cancelled_by = null, cancel_reason = null
  where a.tenant_id = p_tenant_id and a.cancelled_by = p_customer_id;

  perform booking.lock_calendars(p_tenant_id, array(
    select h.staff_id
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id
  ));
  delete from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id;

  insert into booking.audit_log (tenant_id, action, outcome, actor_id, actor_role, details)
  values (
    p_tenant_id, 'erase_customer', 'success', booking.caller_id(),
    coalesce(booking.caller_role(), session_user), jsonb_build_object('appointments', v_erased)
  );
  return v_erased;
end
$$;

comment on function booking.erase_customer(uuid, uuid, text) is
  'Takes a customer''s name, contact, notes and keys off their appointments of a tenant and deletes
their holds; returns how many appointments.';

-- sql/40_booking/explain_availability.sql

-- Why a person can or cannot be booked at a time, for the tenant's staff and admins and the
-- service: for each place where they work and each kind of slot that they offer (or the one of
-- appointment_type), every rule in order. is_available is what reserving would find. Called
-- directly, without a token, it is ruled by grants. Refuses: invalid_request, not_found (missing
-- and foreign look alike). Reads only, in the frame of booking.answer.
create or replace function booking.explain_availability(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_at timestamptz := (p_request ->> 'at')::timestamptz;
  v_code text := p_request ->> 'appointment_type';
  v_person booking.staff;
  v_candidates jsonb;
begin
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_given('staff_id', v_staff_id::text, 'the id of a person');
  perform booking.require_given('at', v_at::text, 'a time');
  perform booking.require_time('at', v_at);

  select s.* into v_person
  from booking.staff s
  where s.tenant_id = v_tenant_id and s.id = v_staff_id
    and (booking.caller_claims() is null or booking.caller_is_member(s.tenant_id));
  if not found then
    perform booking.refuse('not_found', 'There is no such person.');
  end if;
  if v_code is not null then
    perform from booking.appointment_types y where y.tenant_id = v_tenant_id and y.code = v_code;
    if not found then
      perform booking.refuse('invalid_request', format(
        'appointment_type is "%s"; expected the code of one of this tenant''s services.',
        left(v_code, 100)
      ));
    end if;
  end if;

  select jsonb_agg(c.candidate order by c.name, c.codes) into v_candidates
  from (
    select l.name, y.codes, jsonb_build_object(
      'location_id', l.id,
      'location_name', l.name,
      'timezone', coalesce(l.timezone, t.timezone),
      'local_time', to_char(
        v_at at time zone coalesce(l.timezone, t.timezone), 'YYYY-MM-DD"T"HH24:MI:SS'
      ),
      'appointment_types', to_jsonb(y.codes),
      'slot_id', booking.slot_id(v_tenant_id, v_staff_id, l.id, v_at, y.shape_id),
      'is_available', e.is_available,
      'rules', e.rules
    ) as candidate
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    cross join (
      select y.shape_id, array_agg(y.code order by y.code) as codes,
        (array_agg(y.id order by y.code))[1] as type_id
      from booking.appointment_types y
      where y.tenant_id = v_tenant_id
        and case
          when v_code is not null then y.code = v_code
          else y.is_active and exists (
            select
            from booking.staff_appointment_types o
            where o.tenant_id = v_tenant_id and o.staff_id = v_staff_id
              and o.appointment_type_id = y.id
          )
        end
      group by y.shape_id
    ) as y
    cross join lateral (
      select
        bool_and(coalesce(x.passed, false)) as is_available,
        jsonb_agg(jsonb_build_object(
          'rule', x.rule, 'passed', x.passed, 'message', x.message, 'evidence', x.evidence
        ) order by x.number) as rules
      from booking.explain_slot(v_tenant_id, v_staff_id, l.id, y.type_id, v_at)
        with ordinality as x(rule, passed, message, evidence, number)
    ) as e
    where l.tenant_id = v_tenant_id and (
      exists (
        select
        from booking.working_hours h
        where h.tenant_id = v_tenant_id and h.staff_id = v_staff_id and h.location_id = l.id
      )
      or exists (
        select
        from booking.schedule_exceptions x
        where x.tenant_id = v_tenant_id and x.staff_id = v_staff_id and x.location_id = l.id
          and x.kind = 'open'
      )
    )
  ) as c;

  return jsonb_build_object(
    'staff_id', v_staff_id,
    'staff_name', v_person.display_name,
    'at', booking.iso_time(v_at),
    'is_queued', exists (
      select
      from booking.refresh_queue q
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id
    ),
    'message', case
      when v_candidates is not null then null
      else format(
        '%s has no working hours at any place, or offers nothing.', v_person.display_name
      )
    end,
    'candidates', coalesce(v_candidates, '[]')
  );
end
$$;

comment on function booking.explain_availability(jsonb) is
  'Worker of api.explain_availability: for each place and kind of slot, every rule with its verdict
and the rows behind it. is_queued: the calendar waits in refresh_queue; what is published is
older.';

-- sql/40_booking/find_appointment.sql

-- The appointment that a request names, if its caller may know of it: the customer, whoever holds
-- its manage token, the tenant's staff and admins, the service. All null where there is none, or
-- (another tenant may have used the same id) more than one. Reads only.
create or replace function booking.find_appointment(p_request jsonb) returns booking.appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_appointment_id uuid := (p_request ->> 'appointment_id')::uuid;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_token_hash bytea := sha256(convert_to(p_request ->> 'manage_token', 'UTF8'));
  v_caller_id uuid := booking.caller_id();
  v_found booking.appointments[];
begin
  if v_appointment_id is null then
    return null;
  end if;

  v_found := array(
    select a
    from booking.appointments a
    where a.id = v_appointment_id and (v_tenant_id is null or a.tenant_id = v_tenant_id)
      and (
        a.customer_id = v_caller_id
        or a.manage_token_hash = v_token_hash
        or booking.caller_is_member(a.tenant_id)
      )
  );
  return case when cardinality(v_found) = 1 then v_found[1] end;
end
$$;

comment on function booking.find_appointment(jsonb) is
  'The appointment that a request names by appointment_id (and tenant_id), if its caller is its
customer, holds its manage_token, or belongs to the tenant; else null.';

-- sql/40_booking/find_slot.sql

-- The slot that a request names, all null where it names none. Clients know its id and often no
-- tenant; the id says which one. A slot that has no row (beyond the pre-computed days, or off the
-- grid since) is found by the caller's own hold on it, or by what the listing said of it: tenant,
-- person, place and start, if the id is the one that these make. Says nothing about whether it can
-- be booked. Reads only.
create or replace function booking.find_slot(p_request jsonb, p_session_hash bytea)
returns booking.availability_slots
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_slot_id uuid := (p_request ->> 'slot_id')::uuid;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_start_time timestamptz := (p_request ->> 'start_time')::timestamptz;
  v_slot booking.availability_slots;
begin
  if v_slot_id is null then
    return null;
  end if;

  select s.* into v_slot
  from booking.availability_slots s
  where s.id = v_slot_id and (v_tenant_id is null or s.tenant_id = v_tenant_id);
  if found then
    return v_slot;
  end if;

  select h.tenant_id, h.slot_id, h.staff_id, h.location_id, h.shape_id, h.start_time
  into v_slot.tenant_id, v_slot.id, v_slot.staff_id, v_slot.location_id, v_slot.shape_id,
    v_slot.start_time
  from booking.slot_reservations h
  where h.slot_id = v_slot_id and (v_tenant_id is null or h.tenant_id = v_tenant_id)
    and (h.session_hash = p_session_hash or h.customer_id = booking.caller_id())
  limit 1;
  if found then
    return v_slot;
  end if;

  select y.tenant_id, v_slot_id, v_staff_id, v_location_id, y.shape_id, v_start_time
  into v_slot.tenant_id, v_slot.id, v_slot.staff_id, v_slot.location_id, v_slot.shape_id,
    v_slot.start_time
  from booking.appointment_types y
  where y.tenant_id = v_tenant_id and y.is_active
    -- The time of appointments; the end of time has no local date.
    and v_start_time >= '1900-01-01 00:00+00' and v_start_time < '10000-01-01 00:00+00'
    and v_slot_id = booking.slot_id(
      v_tenant_id, v_staff_id, v_location_id, v_start_time, y.shape_id
    )
  limit 1;
  return v_slot;
end
$$;

comment on function booking.find_slot(jsonb, bytea) is
  'The slot that a request names by slot_id (and tenant_id, staff_id, location_id, start_time), or
null.';

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

-- sql/40_booking/get_reservations.sql

-- What a session holds, with all that is needed to show it and go on. The session id is a bearer
-- secret and must not stand in an address: a read-only transaction (GET) is refused with 25006,
-- which PostgREST answers with 405. In the frame of booking.answer; writes and locks nothing.
create or replace function booking.get_reservations(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if current_setting('transaction_read_only') = 'on' then
    raise exception using
      errcode = 'read_only_sql_transaction',
      message = 'get_reservations is for POST: a session_id must not stand in an address';
  end if;

  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);

  return jsonb_build_object('reservations', coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'slot_id', h.slot_id,
      'tenant_id', h.tenant_id,
      'staff_id', h.staff_id,
      'location_id', h.location_id,
      'start_time', booking.iso_time(h.start_time),
      'end_time', booking.iso_time(
        h.start_time + sh.duration_minutes * interval '1 minute'
      ),
      'duration_minutes', sh.duration_minutes,
      'seat', h.seat,
      'appointment_type', y.code,
      'price_cents', h.quoted_price_cents,
      'currency', h.currency,
      'reserved_until', booking.iso_time(h.expires_at)
    )) order by h.start_time, h.slot_id)
    from booking.slot_reservations h
    join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
    left join booking.appointment_types y
      on y.tenant_id = h.tenant_id and y.id = h.appointment_type_id
    where h.session_hash = sha256(convert_to(p_request ->> 'session_id', 'UTF8'))
      and h.expires_at > booking.now()
  ), '[]'));
end
$$;

comment on function booking.get_reservations(jsonb) is
  'Worker of api.get_reservations: the live holds of a session.';

-- sql/40_booking/get_tenant.sql

-- An active tenant by its public name. Refuses: invalid_request, not_found (missing and inactive
-- look alike). Reads only, in the frame of booking.answer.
create or replace function booking.get_tenant(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_answer jsonb;
begin
  perform booking.require_length('slug', p_request ->> 'slug', 1, 63);

  select jsonb_build_object('id', t.id, 'name', t.name, 'timezone', t.timezone) into v_answer
  from booking.tenant_slugs g
  join booking.tenants t on t.id = g.tenant_id
  where g.slug = p_request ->> 'slug' and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
  return v_answer;
end
$$;

comment on function booking.get_tenant(jsonb) is
  'Worker of api.get_tenant: id, name and time zone of the tenant with that slug.';

-- sql/40_booking/list_slots.sql

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

-- sql/40_booking/lock_appointment.sql

-- An appointment that its caller is about to change: who may, and its row locked. The row comes
-- before the calendar, as it does for a raw UPDATE, which has its row before any trigger can run.
-- Refuses with not_authenticated (nobody in particular, and no token), not_found (none that the
-- caller may know of: missing and foreign look alike) and forbidden (a colleague's).
create or replace function booking.lock_appointment(
  p_appointment booking.appointments,
  p_request jsonb
) returns booking.appointments
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_appointment booking.appointments;
begin
  if p_request ->> 'manage_token' is null and booking.caller_id() is null
    and booking.caller_role() is distinct from 'service_role'
  then
    perform booking.refuse(
      'not_authenticated', 'Nobody is signed in, and there is no manage_token.', null,
      'Sign in, or send the manage_token that came with the booking.'
    );
  end if;

  select a.* into v_appointment
  from booking.appointments a
  where a.tenant_id = p_appointment.tenant_id and a.id = p_appointment.id
  for no key update;

  if not found then
    perform booking.refuse('not_found', 'There is no such appointment.');
  end if;

  if not (
    booking.caller_may_write(v_appointment.tenant_id, v_appointment.staff_id)
    or coalesce(v_appointment.customer_id = booking.caller_id(), false)
    or coalesce(
      v_appointment.manage_token_hash = sha256(convert_to(p_request ->> 'manage_token', 'UTF8')),
      false
    )
  ) then
    perform booking.refuse('forbidden', 'This appointment is in a colleague''s calendar.');
  end if;
  return v_appointment;
end
$$;

comment on function booking.lock_appointment(booking.appointments, jsonb) is
  'Locks the appointment''s row for a caller who may change it and returns it as it is now.';

-- What binds customers and not staff: an appointment that is over or cancelled stays as it is, and
-- one that is near can no longer be changed (cancellation_notice_minutes of the tenant, at least
-- until its start). Asked after the locks.
create or replace function booking.require_changeable(p_appointment booking.appointments)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_notice_minutes integer;
begin
  if p_appointment.status not in ('pending', 'confirmed') then
    perform booking.refuse(
      'invalid_status',
      format('The appointment is %s.', replace(p_appointment.status, '_', '-')),
      'Only pending and confirmed appointments can be moved or cancelled.'
    );
  end if;

  select t.cancellation_notice_minutes into v_notice_minutes
  from booking.tenants t
  where t.id = p_appointment.tenant_id;

  if booking.now() > p_appointment.start_time - v_notice_minutes * interval '1 minute'
    and not booking.caller_may_write(p_appointment.tenant_id, p_appointment.staff_id)
  then
    perform booking.refuse(
      'too_late',
      format(
        'The appointment begins at %s and can be changed until %s minutes before.',
        booking.iso_time(p_appointment.start_time), v_notice_minutes
      ),
      null, 'Call the business.'
    );
  end if;
end
$$;

comment on function booking.require_changeable(booking.appointments) is
  'Refuses (invalid_status, too_late) where this appointment can no longer be moved or cancelled.';

-- sql/40_booking/offered_type.sql

-- Which service a slot is taken for: the active type of that code, or without a code the only one,
-- that this person offers in this shape. All null where no code was said and several fit. A hold
-- keeps its start and its notice (promise P3): a type whose step, notice or advance has changed
-- since it was held has another shape now, of the same length and buffers, and still fits. Refuses
-- a code that does not fit (invalid_request), and one that the tenant has withdrawn or changed in
-- length since it was held (appointment_conflict). Reads only; services are public.
create or replace function booking.offered_type(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_shape_id uuid,
  p_code text,
  p_hold booking.slot_reservations default null
) returns booking.appointment_types
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_types booking.appointment_types[] := array(
    select y
    from booking.appointment_types y
    join booking.staff_appointment_types o
      on o.tenant_id = y.tenant_id and o.appointment_type_id = y.id
    where y.tenant_id = p_tenant_id and o.staff_id = p_staff_id and y.is_active
      and (
        y.shape_id = p_shape_id
        or (
          p_hold.id is not null and y.id = coalesce(p_hold.appointment_type_id, y.id)
          and booking.have_same_claims(p_tenant_id, y.shape_id, p_shape_id)
        )
      )
    order by y.code
  );
  v_type booking.appointment_types;
begin
  if p_code is null then
    return case when cardinality(v_types) = 1 then v_types[1] end;
  end if;

  select t.* into v_type from unnest(v_types) as t where t.code = p_code;
  if found then
    return v_type;
  end if;

  perform
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.id = p_hold.appointment_type_id and y.code = p_code;
  if found or cardinality(v_types) = 0 then
    perform booking.refuse_changed();
  end if;

  perform booking.refuse('invalid_request', format(
    'appointment_type is "%s"; expected one that this slot can be booked for: %s.',
    left(p_code, 100), (select string_agg('"' || t.code || '"', ', ') from unnest(v_types) as t)
  ));
  return null;
end
$$;

comment on function booking.offered_type(uuid, uuid, uuid, text, booking.slot_reservations) is
  'The appointment type of that code (null: the only one) that a person offers in a shape, or, for a
hold, in one of the same length and buffers.';

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

-- sql/40_booking/payment_url.sql

-- Where a customer pays: the tenant's payment_url_template with {appointment_id}, {amount_cents}
-- and {currency} filled in; null where there is no template. Reads only.
create or replace function booking.payment_url(p_appointment booking.appointments) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select replace(replace(replace(
    t.payment_url_template,
    '{appointment_id}', p_appointment.id::text),
    '{amount_cents}', p_appointment.price_cents::text),
    '{currency}', p_appointment.currency
  )
  from booking.tenants t
  where t.id = p_appointment.tenant_id
$$;

comment on function booking.payment_url(booking.appointments) is
  'The tenant''s payment_url_template for an appointment, or null.';

-- sql/40_booking/queue_reminders.sql

-- Writes an event "reminder_due" for each live appointment that begins within its tenant's
-- reminder_minutes (0: none), once for each start: a moved appointment is reminded of again.
-- Returns how many. Waits for nobody: an appointment that someone is deleting is skipped, and the
-- events' own index keeps two runs from writing the same.
create or replace function booking.queue_reminders() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_queued integer;
begin
  insert into booking.events (tenant_id, kind, appointment_id, payload)
  select a.tenant_id, 'reminder_due', a.id, jsonb_build_object(
    'status', a.status,
    'start_time', booking.iso_time(a.start_time),
    'end_time', booking.iso_time(a.end_time),
    'staff_id', a.staff_id,
    'location_id', a.location_id,
    'appointment_type_id', a.appointment_type_id
  )
  from booking.tenants t
  join booking.appointments a
    on a.tenant_id = t.id and a.start_time > v_now
    and a.start_time <= v_now + t.reminder_minutes * interval '1 minute'
  where t.is_active and a.status in ('pending', 'confirmed')
  for key share of a skip locked
  on conflict (tenant_id, appointment_id, (payload ->> 'start_time'))
    where kind = 'reminder_due'
  do nothing;
  get diagnostics v_queued = row_count;
  return v_queued;
end
$$;

comment on function booking.queue_reminders() is
  'Writes the events "reminder_due" that are due and not yet written; returns how many.';

-- sql/40_booking/recalculate_availability.sql

-- Publishes anew what the calculator says of some local dates, for one person or all of a tenant:
-- repair, not upkeep, for triggers keep everything exact. More than 20 calendars are queued instead
-- and done by the queue's job, in full. For the service. Locks the calendars by staff_id. Refuses:
-- forbidden, invalid_request, range_too_large, not_found.
create or replace function booking.recalculate_availability(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 731;
  c_most_calendars_at_once constant integer := 20;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_staff_ids uuid[];
  v_changes record;
begin
  if booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('forbidden', 'Recalculating is for the service.');
  end if;
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_dates(
    (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date, c_most_days
  );

  perform from booking.tenants t where t.id = v_tenant_id;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
  v_staff_ids := array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = v_tenant_id and (v_staff_id is null or c.staff_id = v_staff_id)
  );
  if v_staff_id is not null and cardinality(v_staff_ids) = 0 then
    perform booking.refuse('not_found', 'There is no such person (staff_id).');
  end if;

  if cardinality(v_staff_ids) > c_most_calendars_at_once then
    perform booking.refresh_or_queue(v_tenant_id, v_staff_ids, 'recalculation asked for');
    return jsonb_build_object(
      'calendars', cardinality(v_staff_ids), 'queued', cardinality(v_staff_ids),
      'message', 'Queued.'
    );
  end if;

  select r.* into v_changes
  from booking.refresh_slots(
    v_tenant_id, v_staff_ids, (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date
  ) r;
  return jsonb_build_object(
    'calendars', cardinality(v_staff_ids), 'queued', 0, 'inserted', v_changes.inserted,
    'updated', v_changes.updated, 'deleted', v_changes.deleted, 'message', 'Recalculated.'
  );
end
$$;

comment on function booking.recalculate_availability(jsonb) is
  'Worker of api.recalculate_availability: refreshes up to 20 calendars now, queues more.';

-- sql/40_booking/record_payment.sql

-- What the payment provider says, told by the service. Paid confirms what was pending. The same
-- status with the same reference again changes nothing and gets the same answer; a late "failed"
-- of one attempt does not undo another one's "paid". Once the appointment is cancelled (unpaid in
-- time, or by anyone) a payment is too_late: pay it back, and record "refunded" if it had been
-- paid.
--
-- Locks the appointment's row; the slots do not change. Refuses: invalid_request,
-- not_authenticated, forbidden, not_found, invalid_status, too_late.
create or replace function booking.record_payment(
  p_appointment booking.appointments,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_status text := p_request ->> 'payment_status';
  v_reference text := p_request ->> 'payment_reference';
  v_appointment booking.appointments;
begin
  if booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('forbidden', 'Payments are recorded by the service.');
  end if;
  if coalesce(v_status, '') not in ('paid', 'failed', 'refunded') then
    perform booking.refuse('invalid_request', format(
      'payment_status is "%s"; expected paid, failed or refunded.', left(v_status, 100)
    ));
  end if;
  perform booking.require_length('payment_reference', v_reference, 1, 255);

  v_appointment := booking.lock_appointment(p_appointment, p_request);

  -- The events know what was recorded before something else came after it.
  if (v_appointment.payment_status, v_appointment.payment_reference)
    is distinct from (v_status, v_reference)
    and not exists (
      select from booking.events e
      where e.tenant_id = v_appointment.tenant_id and e.appointment_id = v_appointment.id
        and e.kind = 'payment' and e.payload ->> 'payment_status' = v_status
        and e.payload ->> 'payment_reference' = v_reference
    )
  then
    if v_appointment.payment_status = 'not_required'
      or (v_status = 'refunded') <> (v_appointment.payment_status = 'paid')
      or v_appointment.payment_status = 'refunded'
    then
      perform booking.refuse(
        'invalid_status',
        format(
          'The payment is %s and cannot become %s.',
          replace(v_appointment.payment_status, '_', ' '), v_status
        )
      );
    end if;
    if v_appointment.status = 'cancelled' and v_status = 'paid' then
      perform booking.refuse(
        'too_late', 'The appointment is cancelled.', null, 'Pay the money back.'
      );
    end if;

    update booking.appointments a
    set payment_status = v_status,
      payment_reference = v_reference,
      payment_due_at = case when v_status = 'failed' then a.payment_due_at end,
      status = case when v_status = 'paid' and a.status = 'pending' then 'confirmed'
        else a.status end
    where a.tenant_id = v_appointment.tenant_id and a.id = v_appointment.id
    returning a.* into v_appointment;
  end if;

  return jsonb_build_object(
    'appointment_id', v_appointment.id,
    'status', v_appointment.status,
    'payment_status', v_appointment.payment_status
  );
end
$$;

comment on function booking.record_payment(booking.appointments, jsonb) is
  'Worker of api.record_payment: records a payment, idempotent by reference, or refuses.';

-- sql/40_booking/refusal.sql

-- A refusal as callers get it: sets HTTP status and headers and returns the body. PostgREST forgets
-- all three where the transaction fails, which is why a refusal is an answer. Locks nothing.
create or replace function booking.refusal(
  p_code text,
  p_message text,
  p_details text default null,
  p_hint text default null,
  p_retry_after integer default null
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform set_config('response.status', booking.refusal_status(p_code)::text, true);
  -- Takes the place of what pre_request said of a successful GET.
  perform set_config('response.headers', (
    select coalesce(jsonb_agg(header), '[]')
    from (
      select '{"Cache-Control": "no-store"}'::jsonb
      where current_setting('request.method', true) in ('GET', 'HEAD')
      union all
      select jsonb_build_object('Retry-After', p_retry_after::text) where p_retry_after is not null
    ) as h(header)
  )::text, true);
  return jsonb_build_object(
    'success', false, 'code', p_code, 'message', p_message,
    'details', nullif(p_details, ''), 'hint', nullif(p_hint, '')
  );
end
$$;

comment on function booking.refusal(text, text, text, text, integer) is
  'The body of a refusal: success (false), code, message, details, hint; sets response.status and
response.headers (p_retry_after in seconds).';

-- What whoever calls too often is told.
create or replace function booking.refuse_calls(p_seconds integer) returns jsonb
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refusal(
    'rate_limited', 'These are too many calls in a minute.', null,
    format('Try again in %s second%s.', p_seconds, case when p_seconds > 1 then 's' else '' end),
    p_seconds
  )
$$;

comment on function booking.refuse_calls(integer) is
  'The refusal rate_limited; p_seconds until the next call may come.';

-- sql/40_booking/refusal_status.sql

-- The HTTP status of each code that a refusal can have: the contract with clients (design, section
-- 7). An unknown code is a mistake of ours and raises.
create or replace function booking.refusal_status(p_code text) returns integer
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  v_status integer := case
    when p_code in ('invalid_request', 'range_too_large') then 400
    when p_code = 'not_authenticated' then 401
    when p_code = 'forbidden' then 403
    when p_code in ('not_found', 'slot_not_found') then 404
    when p_code in (
      'slot_taken', 'reservation_expired', 'appointment_conflict', 'idempotency_conflict',
      'hold_limit_reached', 'customer_limit_reached', 'too_late', 'invalid_status'
    ) then 409
    when p_code = 'rate_limited' then 429
    when p_code = 'busy' then 503
  end;
begin
  if v_status is null then
    raise exception 'booking.refusal_status knows no code "%"', p_code;
  end if;
  return v_status;
end
$$;

comment on function booking.refusal_status(text) is 'The HTTP status of a refusal''s code.';

-- sql/40_booking/refuse.sql

-- A refusal: something that callers must expect, and no fault. Raised from any depth of a booking
-- function; attempt() takes back what was done so far and makes it an answer with a code, an HTTP
-- status and an audit row. Whoever calls a booking function directly sees an error of SQLSTATE
-- PB001, the code as its constraint name. Volatile, or the planner would try it out.
create or replace function booking.refuse(
  p_code text,
  p_message text,
  p_details text default null,
  p_hint text default null
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PB001',
    constraint = p_code,
    message = p_message,
    detail = coalesce(p_details, ''),
    hint = coalesce(p_hint, '');
end
$$;

comment on function booking.refuse(text, text, text, text) is
  'Raises a refusal (SQLSTATE PB001): code, message and, where there are any, details and hint.';

-- Bad input: which field, what it says, what was expected. p_is_secret leaves the value out.
create or replace function booking.require_length(
  p_field text,
  p_value text,
  p_least integer,
  p_most integer,
  p_is_secret boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if coalesce(length(p_value), 0) between p_least and p_most then
    return;
  end if;
  perform booking.refuse('invalid_request', format(
    '%s is %s; expected %s to %s characters.', p_field,
    case
      when p_value is null then 'missing'
      when p_is_secret or length(p_value) > 100 then length(p_value) || ' characters long'
      else '"' || p_value || '"'
    end,
    p_least, p_most
  ));
end
$$;

comment on function booking.require_length(text, text, integer, integer, boolean) is
  'Refuses a text that is shorter or longer (invalid_request); null is as long as nothing.';

-- sql/40_booking/release_slot.sql

-- Gives a hold back before its time. The slot is free at once, unless another hold still covers it
-- (the hold's triggers publish that). Locks the calendar, then deletes. Refuses: invalid_request,
-- not_found, which is also what another session's hold looks like.
create or replace function booking.release_slot(
  p_slot booking.availability_slots,
  p_session_hash bytea,
  p_request jsonb
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_length('session_id', p_request ->> 'session_id', 16, 128, true);

  -- Only who holds it makes others wait for the lock.
  perform
  from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash;
  if found then
    perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);
  end if;

  delete from booking.slot_reservations h
  where h.tenant_id = p_slot.tenant_id and h.slot_id = p_slot.id
    and h.session_hash = p_session_hash and h.expires_at > booking.now();
  if not found then
    perform booking.refuse('not_found', 'This session holds no such slot.');
  end if;
  return jsonb_build_object('slot_id', p_slot.id, 'message', 'Released.');
end
$$;

comment on function booking.release_slot(booking.availability_slots, bytea, jsonb) is
  'Worker of api.release_slot: ends a session''s hold, or refuses.';

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

-- sql/40_booking/require.sql

-- Bad input: which field, what it says, what was expected (invalid_request). Each refuses by
-- booking.refuse and reads nothing.
create or replace function booking.require_given(p_field text, p_value text, p_expected text)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value is null then
    perform booking.refuse(
      'invalid_request', format('%s is missing; expected %s.', p_field, p_expected)
    );
  end if;
end
$$;

comment on function booking.require_given(text, text, text) is
  'Refuses a field that is null (invalid_request).';

create or replace function booking.require_between(
  p_field text,
  p_value numeric,
  p_least numeric,
  p_most numeric
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value not between p_least and p_most then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a number from %s to %s.', p_field, p_value, p_least, p_most
    ));
  end if;
end
$$;

comment on function booking.require_between(text, numeric, numeric, numeric) is
  'Refuses a number that is smaller or greater (invalid_request); null is none.';

-- Dates and instants can be "infinity", or so far away that nothing can be added to them.
create or replace function booking.require_date(p_field text, p_value date) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value not between '1900-01-01' and '9999-12-31' then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a date from 1900-01-01 to 9999-12-31.', p_field, p_value
    ));
  end if;
end
$$;

comment on function booking.require_date(text, date) is
  'Refuses a date outside the years 1900 to 9999 (invalid_request); null is none.';

create or replace function booking.require_time(p_field text, p_value timestamptz) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value < '1900-01-01 00:00+00' or p_value >= '9999-12-31 00:00+00' then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a time in the years 1900 to 9999.', p_field, p_value
    ));
  end if;
end
$$;

comment on function booking.require_time(text, timestamptz) is
  'Refuses an instant outside the years 1900 to 9999 (invalid_request); null is none.';

-- The dates of a listing: both given, in order, and not too many.
create or replace function booking.require_dates(
  p_start_date date,
  p_end_date date,
  p_most_days integer
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_given('start_date', p_start_date::text, 'a date');
  perform booking.require_given('end_date', p_end_date::text, 'a date');
  perform booking.require_date('start_date', p_start_date);
  perform booking.require_date('end_date', p_end_date);
  if p_end_date < p_start_date then
    perform booking.refuse('invalid_request', format(
      'end_date is %s; expected no date before start_date, %s.', p_end_date, p_start_date
    ));
  end if;
  if p_end_date - p_start_date >= p_most_days then
    perform booking.refuse(
      'range_too_large',
      format(
        'start_date and end_date name %s days; expected at most %s.',
        p_end_date - p_start_date + 1, p_most_days
      ),
      null, 'Ask for fewer days at a time.'
    );
  end if;
end
$$;

comment on function booking.require_dates(date, date, integer) is
  'Refuses start_date and end_date (inclusive) that are missing, out of order (invalid_request) or
more than p_most_days (range_too_large).';

-- sql/40_booking/require_slot.sql

-- Every id of a slot that is not to be had looks alike: ids can be computed, and "not found" would
-- tell off duty from busy. Only what cannot be a slot's id at all is "not found".
create or replace function booking.require_slot(
  p_slot booking.availability_slots,
  p_request jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if not coalesce(booking.is_slot_id((p_request ->> 'slot_id')::uuid), false) then
    perform booking.refuse('slot_not_found', 'slot_id is not the id of a slot.');
  end if;
  if p_slot.tenant_id is null then
    perform booking.refuse_taken();
  end if;
end
$$;

comment on function booking.require_slot(booking.availability_slots, jsonb) is
  'Refuses a request whose slot_id names no slot: slot_not_found or slot_taken.';

-- Whether rows of availability_slots exist for the day of this slot, so that one without a row is
-- none. Reads only.
create or replace function booking.is_published(p_slot booking.availability_slots)
returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (
    select
    from booking.published_bounds(p_slot.tenant_id, array[p_slot.staff_id], null, null) b
    where b.location_id = p_slot.location_id and p_slot.start_time < b.end_of_starts
  )
$$;

comment on function booking.is_published(booking.availability_slots) is
  'True if the slot begins before the end of its calendar''s published days.';

create or replace function booking.refuse_taken() returns void
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refuse(
    'slot_taken', 'This time is no longer available.', null, 'Choose another time.'
  )
$$;

comment on function booking.refuse_taken() is 'Refuses with slot_taken.';

create or replace function booking.refuse_changed() returns void
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refuse(
    'appointment_conflict', 'This time can no longer be booked.',
    'The calendar has changed since it was reserved.', 'Choose another time.'
  )
$$;

comment on function booking.refuse_changed() is
  'Refuses with appointment_conflict: it is held, but the tenant has changed the calendar since.';

-- sql/40_booking/require_week.sql

-- The "hours" of set_working_hours: a JSON array of {"location_id", "weekday" (ISO, 1 Monday to 7
-- Sunday), "start_time", "end_time" (HH:MM, local time of the place; 24:00 and over midnight as in
-- booking.working_hours)}. Refuses with invalid_request and names the first field that is none.
-- Places must be the tenant's. Reads only.
create or replace function booking.require_week(
  p_tenant_id uuid,
  p_hours jsonb,
  p_most_rows integer
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_field text;
  v_value text;
  v_expected text;
begin
  if jsonb_typeof(p_hours) is distinct from 'array' then
    perform booking.refuse('invalid_request', format(
      'hours is %s; expected a list.', coalesce(nullif(jsonb_typeof(p_hours), 'null'), 'missing')
    ));
  end if;
  if jsonb_array_length(p_hours) > p_most_rows then
    perform booking.refuse('invalid_request', format(
      'hours has %s entries; expected at most %s.', jsonb_array_length(p_hours), p_most_rows
    ));
  end if;

  select format('hours[%s]%s', entry.number - 1, coalesce('.' || field.name, '')),
    entry.content ->> field.name, field.expected
  into v_field, v_value, v_expected
  from jsonb_array_elements(p_hours) with ordinality as entry(content, number)
  cross join lateral (
    values
      (1, null, jsonb_typeof(entry.content) = 'object', 'an object'),
      (2, 'location_id', exists (
        select
        from booking.locations l
        where l.tenant_id = p_tenant_id and l.id::text = lower(entry.content ->> 'location_id')
      ), 'the id of one of this tenant''s places'),
      (3, 'weekday', entry.content ->> 'weekday' ~ '^[1-7]$', 'a number from 1 (Monday) to 7'),
      (4, 'start_time', entry.content ->> 'start_time' ~ '^([01]\d|2[0-3]):[0-5]\d(:00)?$',
        'a time like 09:00'),
      (5, 'end_time', entry.content ->> 'end_time' ~ '^(([01]\d|2[0-3]):[0-5]\d|24:00)(:00)?$',
        'a time like 17:00')
  ) as field(number, name, is_good, expected)
  where not coalesce(field.is_good, false)
  order by entry.number, field.number
  limit 1;
  if found then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected %s.', v_field,
      coalesce('"' || left(v_value, 100) || '"', 'missing or of another kind'), v_expected
    ));
  end if;
end
$$;

comment on function booking.require_week(uuid, jsonb, integer) is
  'Refuses a week of working hours that is none (invalid_request).';

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

-- sql/40_booking/set_working_hours.sql

-- A whole week of one person, and the same week for colleagues, in one transaction: from valid_from
-- on (null: altogether) the weekly hours are these and no others. What was valid before ends the
-- day before; what would have begun later is deleted, seasons included. An empty list is a week
-- without work. Rows that are there already stay, so the same call again changes nothing. Holds
-- and appointments stay.
--
-- For the tenant's admins and the service; staff set their own week. Locks the tenant (shared),
-- the rows of hours by id, then the calendars by staff_id; then writes. Refuses: not_authenticated,
-- not_found (missing and foreign look alike), forbidden (a colleague's), invalid_request.
create or replace function booking.set_working_hours(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_rows constant integer := 100;
  -- Each is recalculated until the horizon, and callers have seconds.
  c_most_people constant integer := 10;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_valid_from date := (p_request ->> 'valid_from')::date;
  v_staff_ids uuid[];
begin
  if booking.caller_id() is null and booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('not_authenticated', 'Nobody is signed in.', null, 'Sign in.');
  end if;
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_given('staff_id', v_staff_id::text, 'the id of a person');
  perform booking.require_date('valid_from', v_valid_from);

  v_staff_ids := array(
    select v_staff_id
    union
    select c.id::uuid
    from jsonb_array_elements_text(p_request -> 'copy_to_staff_ids') as c(id)
    where c.id is not null
  );
  if cardinality(v_staff_ids) > c_most_people then
    perform booking.refuse('invalid_request', format(
      'staff_id and copy_to_staff_ids name %s people; expected at most %s.',
      cardinality(v_staff_ids), c_most_people
    ));
  end if;

  if not booking.caller_is_member(v_tenant_id) or (
    select count(*)
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = any (v_staff_ids)
  ) < cardinality(v_staff_ids) then
    perform booking.refuse('not_found', 'There is no such person.');
  end if;
  if exists (
    select from unnest(v_staff_ids) as s(id)
    where not booking.caller_may_write(v_tenant_id, s.id)
  ) then
    perform booking.refuse('forbidden', 'These are a colleague''s working hours.');
  end if;
  perform booking.require_week(v_tenant_id, p_request -> 'hours', c_most_rows);

  perform from booking.tenants t where t.id = v_tenant_id for share;
  -- Rows first, as raw writers meet them; then, without waiting, what was inserted meanwhile.
  perform
  from booking.working_hours h
  where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
  order by h.id
  for update;
  perform booking.lock_calendars(v_tenant_id, v_staff_ids);
  perform
  from booking.working_hours h
  where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
  for update nowait;

  -- One statement: its triggers see the whole week, or slots would be deleted and made anew.
  with wanted as (
    select distinct p.staff_id, w.location_id, w.weekday, w.start_time, w.end_time
    from unnest(v_staff_ids) as p(staff_id)
    cross join jsonb_to_recordset(p_request -> 'hours')
      as w(location_id uuid, weekday integer, start_time time, end_time time)
  ),
  standing as (
    select h.id, h.staff_id, h.location_id, h.weekday, h.start_time, h.end_time,
      (v_valid_from is null or h.valid_from >= v_valid_from) as is_replaced,
      exists (
        select
        from wanted w
        where h.staff_id = w.staff_id and h.location_id = w.location_id
          and h.weekday = w.weekday and h.start_time = w.start_time
          and h.end_time = w.end_time and h.valid_until is null
          and h.valid_from is not distinct from v_valid_from
      ) as is_wanted
    from booking.working_hours h
    where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
      and (h.valid_until is null or v_valid_from is null or h.valid_until >= v_valid_from)
  ),
  ended as (
    update booking.working_hours h
    set valid_until = v_valid_from - 1
    from standing s
    where h.tenant_id = v_tenant_id and h.id = s.id and s.is_replaced is not true
  ),
  removed as (
    delete from booking.working_hours h
    using standing s
    where h.tenant_id = v_tenant_id and h.id = s.id and s.is_replaced and not s.is_wanted
  )
  insert into booking.working_hours (
    tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from
  )
  select v_tenant_id, w.staff_id, w.location_id, w.weekday, w.start_time, w.end_time, v_valid_from
  from wanted w
  where not exists (
    select
    from standing s
    where s.is_wanted and s.staff_id = w.staff_id and s.location_id = w.location_id
      and s.weekday = w.weekday and s.start_time = w.start_time and s.end_time = w.end_time
  );

  return jsonb_build_object(
    'staff_ids', to_jsonb(v_staff_ids),
    'valid_from', v_valid_from,
    'message', format('Set for %s.', case cardinality(v_staff_ids)
      when 1 then 'one person' else cardinality(v_staff_ids) || ' people' end)
  );
end
$$;

comment on function booking.set_working_hours(jsonb) is
  'Worker of api.set_working_hours: replaces the weekly hours of people from a date on.';

-- sql/40_booking/take_events.sql

-- The consumer of the outbox: takes the oldest events that nobody else is handling, for whatever
-- sends mails or calls webhooks. They stay locked until the transaction ends; mark them with
-- finish_events() in the same transaction, once they are handled, and commit. Whoever stops before
-- that leaves them to the next: each event is handled at least once. Several consumers skip each
-- other's. The customer is read from the appointment now, so that an erased person is not written
-- to.
create or replace function booking.take_events(
  p_most_events integer default 100,
  p_tenant_id uuid default null
) returns table (
  tenant_id uuid,
  id uuid,
  kind text,
  appointment_id uuid,
  created_at timestamptz,
  payload jsonb,
  customer jsonb
)
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return query
  select e.tenant_id, e.id, e.kind, e.appointment_id, e.created_at, e.payload, a.customer
  from booking.events e
  join booking.appointments a on a.tenant_id = e.tenant_id and a.id = e.appointment_id
  where e.processed_at is null and (p_tenant_id is null or e.tenant_id = p_tenant_id)
  order by e.created_at, e.id
  limit p_most_events
  for update of e skip locked;
end
$$;

comment on function booking.take_events(integer, uuid) is
  'Up to p_most_events unprocessed events (of a tenant, null: of all), oldest first, locked until
the transaction ends.';

create or replace function booking.finish_events(p_tenant_ids uuid[], p_ids uuid[])
returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_finished integer;
begin
  update booking.events e
  set processed_at = booking.now()
  from unnest(p_tenant_ids, p_ids) as done(tenant_id, id)
  where e.tenant_id = done.tenant_id and e.id = done.id and e.processed_at is null;
  get diagnostics v_finished = row_count;
  return v_finished;
end
$$;

comment on function booking.finish_events(uuid[], uuid[]) is
  'Marks the events (p_tenant_ids[i], p_ids[i]) as processed; returns how many.';

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
    select sh.id into new.shape_id
    from booking.slot_shapes sh
    where sh.tenant_id = new.tenant_id and sh.group_type_id = new.id
      and sh.duration_minutes = new.duration_minutes
      and sh.buffer_before_minutes = new.buffer_before_minutes
      and sh.buffer_after_minutes = new.buffer_after_minutes;

    if found then
      -- Not "on conflict do update", which would lock the shape as if its key could change, and
      -- wait for bookers, who have the calendar and refer to the shape.
      update booking.slot_shapes sh
      set step_minutes = v_step_minutes,
        min_notice_minutes = v_min_notice_minutes,
        max_advance_days = new.max_advance_days
      where sh.tenant_id = new.tenant_id and sh.id = new.shape_id
        and (sh.step_minutes, sh.min_notice_minutes, sh.max_advance_days)
          is distinct from (v_step_minutes, v_min_notice_minutes, new.max_advance_days);
      return new;
    end if;

    insert into booking.slot_shapes as sh (
      tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
      min_notice_minutes, max_advance_days, group_type_id
    )
    values (
      new.tenant_id, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes,
      v_step_minutes, v_min_notice_minutes, new.max_advance_days, new.id
    )
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
--   before row        1 caller checked, 2 calendar locked, 3 seat taken (or slot cleared), 4 status
--   after statement   holds it beats are deleted, the days around old and new claims recalculated,
--                     events written, and an audit row where no booking function writes one

-- Moving an appointment by hand takes it off its slot. Taking a seat copies the type's capacity, is
-- refused when attendees and holds fill the class, and gets the seat it asks for or else the lowest
-- free one (free_seat). Runs under the calendar's lock.
create or replace function booking.take_seat() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_group_type_id uuid;
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

  if new.status = 'cancelled' then
    return new;
  end if;

  new.seat := booking.free_seat(
    new.tenant_id, new.slot_id, new.capacity, new.seat, new.id
  );
  if new.seat is null then
    raise exception using
      errcode = 'exclusion_violation',
      message = format('all %s seats of this slot are taken', new.capacity);
  end if;
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

-- A status means something: what is completed or missed has begun, and what is cancelled is booked
-- again before anything else can become of it. Who cancelled and when is kept.
create or replace function booking.keep_status() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if new.status in ('completed', 'no_show')
    and (old.status = 'cancelled' or new.start_time > booking.now())
  then
    raise exception using
      errcode = 'check_violation',
      message = format(
        'status cannot become "%s": the appointment %s', new.status,
        case
          when old.status = 'cancelled' then 'is cancelled'
          else 'begins at ' || booking.iso_time(new.start_time)
        end
      );
  end if;

  if new.status = 'cancelled' then
    new.cancelled_at := booking.now();
    new.cancelled_by := coalesce(booking.caller_id(), new.cancelled_by);
  elsif old.status = 'cancelled' then
    new.cancelled_at := null;
    new.cancelled_by := null;
    new.cancel_reason := null;
  end if;
  return new;
end
$$;

create or replace trigger appointments_4_keep_status
before update on booking.appointments
for each row when (old.status <> new.status)
execute function booking.keep_status();

create or replace trigger appointments_5_touch_updated_at
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

create or replace trigger appointments_recorded_on_insert
after insert on booking.appointments
referencing new table as changed_rows
for each statement execute function booking.appointments_recorded();

create or replace trigger appointments_recorded_on_update
after update on booking.appointments
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointments_recorded();

create or replace trigger appointments_recorded_on_delete
after delete on booking.appointments
referencing old table as old_rows
for each statement execute function booking.appointments_recorded();

-- sql/50_triggers/audit_log.sql

-- audit_log: append-only, for its owner, too. Rows go when they have been kept as long as
-- settings.audit_retention_days says, and not before.
create or replace function booking.refuse_audit_change() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_kept_since timestamptz := booking.now() - (
    select s.audit_retention_days * interval '1 day' from booking.settings s
  );
begin
  if tg_op = 'DELETE' and old.occurred_at < v_kept_since then
    return old;
  end if;
  raise exception using
    errcode = 'feature_not_supported',
    message = 'booking.audit_log is append-only',
    hint = 'Rows older than settings.audit_retention_days can be deleted.';
end
$$;

create or replace trigger audit_log_refuse_change
before update or delete on booking.audit_log
for each row execute function booking.refuse_audit_change();

create or replace trigger audit_log_refuse_truncate
before truncate on booking.audit_log
for each statement execute function booking.refuse_audit_change();

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

-- For each statement: a row trigger counts the generated is_group as updated, and the row would be
-- locked as if its key changed.
create or replace trigger slot_shapes_refuse_change
before update or delete on booking.slot_shapes
for each statement when (pg_trigger_depth() = 0)
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

-- appointment_types: everyone may see active ones; a tenant's staff and admins, and the
-- service, also those that are no longer active, so that what they once did keeps its names. The
-- public views ask for active ones themselves.
drop policy if exists everyone_reads_active on booking.appointment_types;

create policy everyone_reads_active on booking.appointment_types
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.appointment_types;

create policy members_read_all on booking.appointment_types
for select to authenticated
using (is_active or tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.appointment_types;

create policy service_reads_all on booking.appointment_types
for select to service_role
using (true);

-- sql/60_policies/appointments.sql

-- appointments: customers read their own; a tenant's staff and admins read all of the tenant's;
-- staff write in their own calendar, admins in everyone's (the row trigger checks that tenant and
-- person belong together); the service works everywhere. Nobody deletes: appointments are
-- cancelled.
drop policy if exists customers_and_members_read on booking.appointments;

create policy customers_and_members_read on booking.appointments
for select to authenticated
using (
  customer_id = (select booking.caller_id())
  or tenant_id = any ((select booking.member_tenant_ids())::uuid[])
);

drop policy if exists members_insert on booking.appointments;

create policy members_insert on booking.appointments
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.appointments;

create policy members_update on booking.appointments
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.appointments;

create policy service_does_all on booking.appointments
for all to service_role
using (true)
with check (true);

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

-- sql/60_policies/breaks.sql

-- breaks: a tenant's staff and admins read all of the tenant's; staff write their own, admins
-- everyone's and those for all; the service works everywhere.
drop policy if exists members_read on booking.breaks;

create policy members_read on booking.breaks
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists members_insert on booking.breaks;

create policy members_insert on booking.breaks
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.breaks;

create policy members_update on booking.breaks
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_delete on booking.breaks;

create policy members_delete on booking.breaks
for delete to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.breaks;

create policy service_does_all on booking.breaks
for all to service_role
using (true)
with check (true);

-- sql/60_policies/busy_times.sql

-- busy_times: a tenant's staff and admins read all of the tenant's; staff write their own, admins
-- everyone's; the service works everywhere.
drop policy if exists members_read on booking.busy_times;

create policy members_read on booking.busy_times
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists members_insert on booking.busy_times;

create policy members_insert on booking.busy_times
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.busy_times;

create policy members_update on booking.busy_times
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_delete on booking.busy_times;

create policy members_delete on booking.busy_times
for delete to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.busy_times;

create policy service_does_all on booking.busy_times
for all to service_role
using (true)
with check (true);

-- sql/60_policies/locations.sql

-- locations: everyone may see active ones; a tenant's staff and admins, and the service, also
-- those that are no longer active, so that what they once did keeps its names. The public views ask
-- for active ones themselves.
drop policy if exists everyone_reads_active on booking.locations;

create policy everyone_reads_active on booking.locations
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.locations;

create policy members_read_all on booking.locations
for select to authenticated
using (is_active or tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.locations;

create policy service_reads_all on booking.locations
for select to service_role
using (true);

-- sql/60_policies/schedule_exceptions.sql

-- schedule_exceptions: a tenant's staff and admins read all of the tenant's; staff write their own,
-- admins everyone's and those for all; the service works everywhere.
drop policy if exists members_read on booking.schedule_exceptions;

create policy members_read on booking.schedule_exceptions
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists members_insert on booking.schedule_exceptions;

create policy members_insert on booking.schedule_exceptions
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.schedule_exceptions;

create policy members_update on booking.schedule_exceptions
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_delete on booking.schedule_exceptions;

create policy members_delete on booking.schedule_exceptions
for delete to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.schedule_exceptions;

create policy service_does_all on booking.schedule_exceptions
for all to service_role
using (true)
with check (true);

-- sql/60_policies/staff.sql

-- staff: everyone may see active people; a tenant's staff and admins, and the service, also
-- those that are no longer active, so that what they once did keeps its names. The public views ask
-- for active ones themselves.
drop policy if exists everyone_reads_active on booking.staff;

create policy everyone_reads_active on booking.staff
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.staff;

create policy members_read_all on booking.staff
for select to authenticated
using (is_active or tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.staff;

create policy service_reads_all on booking.staff
for select to service_role
using (true);

-- sql/60_policies/staff_appointment_types.sql

-- staff_appointment_types: everyone may see who offers what; the view asks whether both are active.
drop policy if exists everyone_reads_all on booking.staff_appointment_types;

create policy everyone_reads_all on booking.staff_appointment_types
for select to anon, authenticated, service_role
using (true);

-- sql/60_policies/tenants.sql

-- tenants: everyone may see that an active one exists; a tenant's staff and admins, and the
-- service, also those that are no longer active, so that what they once did keeps its names. The
-- public views ask for active ones themselves.
drop policy if exists everyone_reads_active on booking.tenants;

create policy everyone_reads_active on booking.tenants
for select to anon
using (is_active);

drop policy if exists members_read_all on booking.tenants;

create policy members_read_all on booking.tenants
for select to authenticated
using (is_active or id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists service_reads_all on booking.tenants;

create policy service_reads_all on booking.tenants
for select to service_role
using (true);

-- sql/60_policies/working_hours.sql

-- working_hours: a tenant's staff and admins read all of the tenant's; staff write their own,
-- admins everyone's; the service works everywhere.
drop policy if exists members_read on booking.working_hours;

create policy members_read on booking.working_hours
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));

drop policy if exists members_insert on booking.working_hours;

create policy members_insert on booking.working_hours
for insert to authenticated
with check (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_update on booking.working_hours;

create policy members_update on booking.working_hours
for update to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists members_delete on booking.working_hours;

create policy members_delete on booking.working_hours
for delete to authenticated
using (
  tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[])
  or (
    tenant_id = any ((select booking.member_tenant_ids('staff'))::uuid[])
    and staff_id = any ((select booking.member_staff_ids())::uuid[])
  )
);

drop policy if exists service_does_all on booking.working_hours;

create policy service_does_all on booking.working_hours
for all to service_role
using (true)
with check (true);

-- sql/70_api/appointment_types.sql

-- What can be booked, of active tenants.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.appointment_types
with (security_invoker = true, security_barrier = true) as
select
  y.id, y.tenant_id, y.shape_id, y.code, y.name, y.duration_minutes, y.price_cents, y.currency,
  y.requires_payment, y.capacity
from booking.appointment_types y
where y.is_active
  and exists (select from booking.tenants t where t.id = y.tenant_id and t.is_active);

comment on view api.appointment_types is
  'Services that can be booked
shape_id tells which slots fit the service; price_cents is gross, in hundredths of the currency;
capacity above 1 is a class.';

-- sql/70_api/appointments.sql

-- Appointments as their customers and the tenant's staff see them. Names come by scalar subquery,
-- so that staff can insert and update through the view; who sees and writes what, the policies
-- say.
create or replace view api.appointments with (security_invoker = true) as
select
  a.id, a.tenant_id, a.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = a.tenant_id and s.id = a.staff_id
  ) as staff_name,
  a.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = a.tenant_id and l.id = a.location_id
  ) as location_name,
  coalesce(
    (
      select l.timezone
      from booking.locations l
      where l.tenant_id = a.tenant_id and l.id = a.location_id
    ),
    (select t.timezone from booking.tenants t where t.id = a.tenant_id)
  ) as timezone,
  a.appointment_type_id,
  (
    select y.name
    from booking.appointment_types y
    where y.tenant_id = a.tenant_id and y.id = a.appointment_type_id
  ) as appointment_type_name,
  a.slot_id, a.shape_id, a.seat, a.start_time, a.end_time, a.buffer_before_minutes,
  a.buffer_after_minutes, a.status, a.customer_id, a.customer, a.notes, a.price_cents, a.currency,
  a.payment_status, a.payment_due_at, a.cancelled_at, a.cancel_reason, a.source, a.created_at,
  a.updated_at
from booking.appointments a;

comment on view api.appointments is
  'Appointments
Customers see their own, a tenant''s staff and admins all of the tenant''s. Staff book by inserting
(any time and length, without a slot) and update times, status (confirmed, completed, no_show,
cancelled), customer and notes in their own calendar, admins in everyone''s. Times are instants;
timezone is the IANA name in which to show them. To customers names are null where person, place or
service is no longer active.';

-- sql/70_api/availability_slots.sql

-- The mission's one SELECT: slots that can be booked now. The policy on the table decides what that
-- is; the view asks that tenant, person and place are active, whatever the queue has still to do.
create or replace view api.availability_slots with (security_invoker = true) as
select
  s.id, s.tenant_id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, greatest(s.seats_left, 1) as seats_left, s.is_available
from booking.availability_slots s
where exists (select from booking.tenants t where t.id = s.tenant_id and t.is_active)
  and exists (
    select
    from booking.staff p
    where p.tenant_id = s.tenant_id and p.id = s.staff_id and p.is_active
  )
  and exists (
    select
    from booking.locations l
    where l.tenant_id = s.tenant_id and l.id = s.location_id and l.is_active
  );

comment on view api.availability_slots is
  'Slots that can be booked now
Filter by tenant_id, staff_id, duration_minutes and start_time (an instant with a time zone). Times
are UTC instants, half open; seats_left counts places in a class and is 1 for a single slot;
is_available is always true.';

-- sql/70_api/breaks.sql

-- Breaks, for the tenant's staff and admins. See working_hours.
create or replace view api.breaks with (security_invoker = true) as
select
  b.id, b.tenant_id, b.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = b.tenant_id and s.id = b.staff_id
  ) as staff_name,
  b.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = b.tenant_id and l.id = b.location_id
  ) as location_name,
  b.weekday, b.start_time, b.end_time, b.valid_from, b.valid_until, b.created_at, b.updated_at
from booking.breaks b;

comment on view api.breaks is
  'Breaks, taken out of working hours
For a tenant''s staff and admins; staff write their own, admins everyone''s and those for all.
staff_id null is everyone, location_id null everywhere, weekday null every day; times are local to
the place, both validity dates inclusive.';

-- sql/70_api/busy_times.sql

-- Time taken by anything else, for the tenant's staff and admins. See working_hours.
create or replace view api.busy_times with (security_invoker = true) as
select
  b.id, b.tenant_id, b.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = b.tenant_id and s.id = b.staff_id
  ) as staff_name,
  b.start_time, b.end_time, b.source, b.external_id, b.created_at, b.updated_at
from booking.busy_times b;

comment on view api.busy_times is
  'Time taken by anything outside
For a tenant''s staff and admins; staff write their own, admins everyone''s. Times are instants,
half open, and may overlap; source and external_id make imports repeatable.';

-- sql/70_api/cancel_appointment.sql

-- Worker: booking.cancel_appointment, in the frame of booking.attempt.
create or replace function api.cancel_appointment(
  appointment_id uuid,
  reason text default null,
  manage_token text default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('cancel_appointment', jsonb_build_object(
    'appointment_id', cancel_appointment.appointment_id,
    'reason', cancel_appointment.reason,
    'manage_token', cancel_appointment.manage_token,
    'tenant_id', cancel_appointment.tenant_id
  ));
end
$$;

comment on function api.cancel_appointment(uuid, text, text, uuid) is
  'Cancel an appointment
For its customer and whoever has its manage_token, until the tenant''s notice before its start, and
for the tenant''s staff. The reason (at most 1,000 characters) is kept.
Answers {"success": true, "appointment_id", "status": "cancelled", "message"}. Refusals: too_late,
invalid_status 409; not_found 404; invalid_request 400; not_authenticated 401; forbidden 403;
rate_limited 429; busy 503.';

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

-- sql/70_api/explain_availability.sql

-- Worker: booking.explain_availability, in the frame of booking.answer.
create or replace function api.explain_availability(
  tenant_id uuid,
  staff_id uuid,
  at timestamptz,
  appointment_type text default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('explain_availability', jsonb_build_object(
    'tenant_id', explain_availability.tenant_id,
    'staff_id', explain_availability.staff_id,
    'at', explain_availability.at,
    'appointment_type', explain_availability.appointment_type
  ));
end
$$;

comment on function api.explain_availability(uuid, uuid, timestamptz, text) is
  'Why a time can or cannot be booked
For the tenant''s staff and admins. at is an instant.
Answers {"success": true, "staff_id", "staff_name", "at", "is_queued", "message", "candidates":
[{"location_id", "location_name", "timezone", "local_time", "appointment_types", "slot_id",
"is_available", "rules": [{"rule", "passed", "message", "evidence"}]}]}: for each place and kind of
slot the rules active, working_time, starts, fit, free, bookable and not_held, in that order; passed
is null where another rule leaves nothing to ask; evidence is the rows that decided. Refusals:
not_found 404; invalid_request 400; rate_limited 429; busy 503.';

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

-- sql/70_api/get_reservations.sql

-- Worker: booking.get_reservations, in the frame of booking.answer.
create or replace function api.get_reservations(session_id text) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_reservations', jsonb_build_object(
    'session_id', get_reservations.session_id
  ));
end
$$;

comment on function api.get_reservations(text) is
  'What a session holds (POST only)
Answers {"success": true, "reservations": [{"slot_id", "tenant_id", "staff_id", "location_id",
"start_time", "end_time", "duration_minutes", "seat", "appointment_type", "price_cents", "currency",
"reserved_until"}]}, times in UTC, by start_time. Refusals: invalid_request 400; rate_limited
429; busy 503.';

-- sql/70_api/get_tenant.sql

-- Worker: booking.get_tenant, in the frame of booking.answer.
create or replace function api.get_tenant(slug text) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_tenant', jsonb_build_object(
    'slug', get_tenant.slug
  ));
end
$$;

comment on function api.get_tenant(text) is
  'Find a business by its public name
Answers {"success": true, "id", "name", "timezone" (IANA)}. Refusals: not_found 404; invalid_request
400; rate_limited 429; busy 503.';

-- sql/70_api/locations.sql

-- Public names of active places of active tenants. The zone comes by scalar subquery and not by a
-- join: whoever tries to write is told by grants that they may not, and by nothing before.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.locations
with (security_invoker = true, security_barrier = true) as
select
  l.id, l.tenant_id, l.name,
  coalesce(
    l.timezone, (select t.timezone from booking.tenants t where t.id = l.tenant_id)
  ) as timezone
from booking.locations l
where l.is_active
  and exists (select from booking.tenants t where t.id = l.tenant_id and t.is_active);

comment on view api.locations is
  'Places where appointments happen
timezone is the IANA name in which the place''s dates and hours are meant; never null.';

-- sql/70_api/pre_request.sql

-- For PostgREST's db-pre-request: runs first in each request, as the caller. Tells edges how long
-- they may keep what anonymous callers read of the views here; functions that know better replace
-- it. Whose address a call has, booking.client_address says to whoever asks. Reads only.
--
-- Without a pinned search_path, because that is how PostgREST says which schema the request is for:
-- others that it exposes are not ours to make public.
create or replace function api.pre_request() returns void
language sql volatile parallel unsafe
as $$
  select pg_catalog.set_config(
    'response.headers',
    pg_catalog.jsonb_build_array(
      pg_catalog.jsonb_build_object('Cache-Control', booking.cache_control())
    )::text,
    true
  )
  where current_schema = 'api'
    and pg_catalog.current_setting('request.method', true) in ('GET', 'HEAD')
$$;

comment on function api.pre_request() is
  'For PostgREST''s db-pre-request
Sets Cache-Control. Nothing for clients.';

-- sql/70_api/recalculate_availability.sql

-- Worker: booking.recalculate_availability, in the frame of booking.attempt.
create or replace function api.recalculate_availability(
  tenant_id uuid,
  start_date date,
  end_date date,
  staff_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('recalculate_availability', jsonb_build_object(
    'tenant_id', recalculate_availability.tenant_id,
    'start_date', recalculate_availability.start_date,
    'end_date', recalculate_availability.end_date,
    'staff_id', recalculate_availability.staff_id
  ));
end
$$;

comment on function api.recalculate_availability(uuid, date, date, uuid) is
  'Publish some days anew (service only)
start_date and end_date are local dates, inclusive. Triggers keep everything exact: this is repair.
More than 20 calendars are queued.
Answers {"success": true, "calendars", "queued", "inserted", "updated", "deleted", "message"}.
Refusals: range_too_large, invalid_request 400; forbidden 403; not_found 404; rate_limited 429; busy
503.';

-- sql/70_api/record_payment.sql

-- Worker: booking.record_payment, in the frame of booking.attempt.
create or replace function api.record_payment(
  appointment_id uuid,
  payment_status text,
  payment_reference text,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('record_payment', jsonb_build_object(
    'appointment_id', record_payment.appointment_id,
    'payment_status', record_payment.payment_status,
    'payment_reference', record_payment.payment_reference,
    'tenant_id', record_payment.tenant_id
  ));
end
$$;

comment on function api.record_payment(uuid, text, text, uuid) is
  'Record what the payment provider says (service only)
payment_status is paid (confirms a pending appointment), failed or refunded; payment_reference is
the provider''s, at most 255 characters. The same again changes nothing and gets the same answer.
Answers {"success": true, "appointment_id", "status", "payment_status"}. Refusals: too_late (the
appointment is cancelled: pay back), invalid_status 409; not_found 404; invalid_request 400;
forbidden 403; busy 503.';

-- sql/70_api/release_slot.sql

-- Worker: booking.release_slot, in the frame of booking.attempt.
create or replace function api.release_slot(
  slot_id uuid,
  session_id text,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('release_slot', jsonb_build_object(
    'slot_id', release_slot.slot_id,
    'session_id', release_slot.session_id,
    'tenant_id', release_slot.tenant_id
  ));
end
$$;

comment on function api.release_slot(uuid, text, uuid) is
  'Give a held slot back
Answers {"success": true, "slot_id", "message"}. Refusals: not_found 404 (this session does not hold
it, or no longer); invalid_request 400; rate_limited 429; busy 503.';

-- sql/70_api/reschedule_appointment.sql

-- Worker: booking.reschedule_appointment, in the frame of booking.attempt.
create or replace function api.reschedule_appointment(
  appointment_id uuid,
  slot_id uuid,
  session_id text default null,
  manage_token text default null,
  staff_id uuid default null,
  location_id uuid default null,
  start_time timestamptz default null,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reschedule_appointment', jsonb_build_object(
    'appointment_id', reschedule_appointment.appointment_id,
    'slot_id', reschedule_appointment.slot_id,
    'session_id', reschedule_appointment.session_id,
    'manage_token', reschedule_appointment.manage_token,
    'staff_id', reschedule_appointment.staff_id,
    'location_id', reschedule_appointment.location_id,
    'start_time', reschedule_appointment.start_time,
    'tenant_id', reschedule_appointment.tenant_id
  ));
end
$$;

comment on function api.reschedule_appointment(
  uuid, uuid, text, text, uuid, uuid, timestamptz, uuid
) is
  'Move an appointment to another slot
For its customer, whoever has its manage_token, and the tenant''s staff. The new slot may be held
by session_id, or just be free; the appointment''s own time does not stand in its way. A slot
beyond the days that availability_slots shows needs staff_id, location_id and start_time.
Answers {"success": true, "appointment_id", "slot_id", "staff_id", "location_id", "start_time",
"end_time" (UTC), "seat", "message"}; refused, the appointment stays where it is. Refusals:
slot_taken, appointment_conflict, too_late, invalid_status 409; not_found, slot_not_found 404;
invalid_request 400; not_authenticated 401; forbidden 403; rate_limited 429; busy 503.';

-- sql/70_api/reserve_slot.sql

-- Worker: booking.reserve_slot, in the frame of booking.attempt. Bodies of functions in "api" name
-- their parameters in full, because these are the JSON keys.
create or replace function api.reserve_slot(
  slot_id uuid,
  session_id text,
  appointment_type text default null,
  tenant_id uuid default null,
  staff_id uuid default null,
  location_id uuid default null,
  start_time timestamptz default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('reserve_slot', jsonb_build_object(
    'slot_id', reserve_slot.slot_id,
    'session_id', reserve_slot.session_id,
    'appointment_type', reserve_slot.appointment_type,
    'tenant_id', reserve_slot.tenant_id,
    'staff_id', reserve_slot.staff_id,
    'location_id', reserve_slot.location_id,
    'start_time', reserve_slot.start_time
  ));
end
$$;

comment on function api.reserve_slot(uuid, text, text, uuid, uuid, uuid, timestamptz) is
  'Hold a slot for ten minutes
session_id is a secret of your own making, 16 to 128 characters, the same for all calls of a visit.
appointment_type is a service''s code; with it the answer quotes the price. A slot beyond the days
that availability_slots shows needs tenant_id, staff_id, location_id and start_time, as listed.
Answers {"success": true, "slot_id", "reserved_until" (UTC), "seat", "price_cents", "currency",
"message"}. Asked again by the same session, the answer is the same, and so is its end. Holds of the
session that overlap are replaced. Refusals: slot_taken, hold_limit_reached, appointment_conflict
409; slot_not_found 404; invalid_request 400; rate_limited 429; busy 503.';

-- sql/70_api/schedule_exceptions.sql

-- Dates that differ, for the tenant's staff and admins. See working_hours.
create or replace view api.schedule_exceptions with (security_invoker = true) as
select
  e.id, e.tenant_id, e.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = e.tenant_id and s.id = e.staff_id
  ) as staff_name,
  e.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = e.tenant_id and l.id = e.location_id
  ) as location_name,
  e.first_date, e.last_date, e.kind, e.start_time, e.end_time, e.note, e.created_at, e.updated_at
from booking.schedule_exceptions e;

comment on view api.schedule_exceptions is
  'Holidays and other dates that differ
For a tenant''s staff and admins; staff write their own, admins everyone''s and those for all. Dates
are local and inclusive; kind "open" replaces the weekly hours of those dates, "closed" is taken
away; null times are the whole day, staff_id null is everyone, location_id null everywhere.';

-- sql/70_api/set_working_hours.sql

-- Worker: booking.set_working_hours, in the frame of booking.attempt.
create or replace function api.set_working_hours(
  tenant_id uuid,
  staff_id uuid,
  hours jsonb,
  valid_from date default null,
  copy_to_staff_ids uuid[] default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('set_working_hours', jsonb_build_object(
    'tenant_id', set_working_hours.tenant_id,
    'staff_id', set_working_hours.staff_id,
    'hours', set_working_hours.hours,
    'valid_from', set_working_hours.valid_from,
    -- However many dimensions it came in.
    'copy_to_staff_ids', array(select unnest(set_working_hours.copy_to_staff_ids))
  ));
end
$$;

comment on function api.set_working_hours(uuid, uuid, jsonb, date, uuid[]) is
  'Set a whole week of working hours
For the tenant''s admins, and staff for themselves. hours is a list of {"location_id", "weekday"
(1 Monday to 7 Sunday), "start_time", "end_time" (HH:MM, local; 24:00, or over midnight)}, at most
100; an empty list is a week without work. From valid_from on (null: altogether) these hours replace
all others, seasons included. copy_to_staff_ids: the same week for colleagues, at most 10 people.
Answers {"success": true, "staff_ids", "valid_from", "message"}. Refusals: invalid_request 400;
not_authenticated 401; forbidden 403; not_found 404; rate_limited 429; busy 503.';

-- sql/70_api/staff.sql

-- Public names of active people of active tenants.
-- A barrier, or a condition of the caller's that fails would tell names of inactive tenants.
create or replace view api.staff
with (security_invoker = true, security_barrier = true) as
select s.id, s.tenant_id, s.display_name
from booking.staff s
where s.is_active
  and exists (select from booking.tenants t where t.id = s.tenant_id and t.is_active);

comment on view api.staff is
  'People who can be booked
Their public names, for active people of active tenants.';

-- sql/70_api/staff_appointment_types.sql

-- Who offers what, of active people, types and tenants.
create or replace view api.staff_appointment_types with (security_invoker = true) as
select o.tenant_id, o.staff_id, o.appointment_type_id
from booking.staff_appointment_types o
where exists (select from booking.tenants t where t.id = o.tenant_id and t.is_active)
  and exists (
    select
    from booking.staff s
    where s.tenant_id = o.tenant_id and s.id = o.staff_id and s.is_active
  )
  and exists (
    select from booking.appointment_types y
    where y.tenant_id = o.tenant_id and y.id = o.appointment_type_id and y.is_active
  );

comment on view api.staff_appointment_types is
  'Who offers which service
Active people and services of active tenants.';

-- sql/70_api/working_hours.sql

-- Weekly hours, for the tenant's staff and admins. The name comes by scalar subquery, so that the
-- view stays writable; who sees and writes what, the policies say.
create or replace view api.working_hours with (security_invoker = true) as
select
  h.id, h.tenant_id, h.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = h.tenant_id and s.id = h.staff_id
  ) as staff_name,
  h.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = h.tenant_id and l.id = h.location_id
  ) as location_name,
  h.weekday, h.start_time, h.end_time, h.valid_from, h.valid_until, h.created_at, h.updated_at
from booking.working_hours h;

comment on view api.working_hours is
  'Weekly working hours
For a tenant''s staff and admins; staff write their own, admins everyone''s. weekday is 1 (Monday)
to 7; times are local to the place, end_time up to 24:00, or over midnight; both validity dates are
inclusive, null is unbounded. set_working_hours replaces a whole week.';

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
