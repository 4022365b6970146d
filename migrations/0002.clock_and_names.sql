-- The functions that tables depend on: the clock, a slot's id, a claim, and what columns may hold.
-- depends: 0001.roles_and_schemas

set local role booking_owner;

create function booking.now() returns timestamptz
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if coalesce(current_setting('booking.fake_now', true), '') <> ''
    and (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user)
  then
    return current_setting('booking.fake_now')::timestamptz;
  end if;
  return clock_timestamp();
end
$$;

comment on function booking.now() is
  'The only clock of pgbooking: the time of day, or the setting booking.fake_now where the session
user is a superuser (tests, demonstrations). Declared STABLE, or every use would be a filter on each
row and never an index condition.';

create function booking.slot_id(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_start_time timestamptz,
  p_shape_id uuid
) returns uuid
language sql immutable parallel safe
as $$
  select overlay(overlay(md5(
    p_tenant_id::text || p_staff_id::text || p_location_id::text || p_shape_id::text
    || extract(epoch from p_start_time at time zone 'UTC')::text
  ) placing '8' from 13) placing '8' from 17)::uuid
$$;

comment on function booking.slot_id(uuid, uuid, uuid, timestamptz, uuid) is
  'A slot''s id is its name: a UUID of version 8 (RFC 9562) made from tenant, person, place, start
and shape, so that a slot that is rebuilt, restored or computed on demand keeps its id. Inlinable
on purpose, hence without a pinned search_path.';

create function booking.is_slot_id(p_id uuid) returns boolean
language sql immutable parallel safe
as $$
  select substr(p_id::text, 15, 1) = '8'
$$;

comment on function booking.is_slot_id(uuid) is
  'True for a UUID of version 8, the version that only slots use here.';

create function booking.claim_of(
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_buffer_before_minutes integer,
  p_buffer_after_minutes integer
) returns tstzrange
language sql immutable parallel safe
as $$
  select case
    when p_end_time > p_start_time then tstzrange(
      (p_start_time at time zone 'UTC' - p_buffer_before_minutes * interval '1 minute')
        at time zone 'UTC',
      (p_end_time at time zone 'UTC' + p_buffer_after_minutes * interval '1 minute')
        at time zone 'UTC'
    )
    else 'empty'
  end
$$;

comment on function booking.claim_of(timestamptz, timestamptz, integer, integer) is
  'The time that an appointment or a hold takes, buffers (minutes) included; half open, and empty
where the end is not after the start, which the table''s own constraint then names. Goes through UTC
because timestamptz minus an interval is not immutable. Inlinable on purpose.';

create function booking.whole_minutes(p_start_time timestamptz, p_end_time timestamptz)
returns integer
language sql immutable parallel safe
as $$
  select case
    when not isfinite(p_start_time) or not isfinite(p_end_time) then -1
    when extract(epoch from p_end_time - p_start_time) % 60 <> 0 then -1
    when p_end_time - p_start_time > interval '366 days' then -1
    else (extract(epoch from p_end_time - p_start_time) / 60)::integer
  end
$$;

comment on function booking.whole_minutes(timestamptz, timestamptz) is
  'Length in minutes if that is a whole number (and below 366 days), else -1, which no shape has.';

create function booking.is_whole_minute(p_time time) returns boolean
language sql immutable parallel safe
as $$
  select extract(second from p_time) = 0
$$;

comment on function booking.is_whole_minute(time) is 'True for a time of day without seconds.';
