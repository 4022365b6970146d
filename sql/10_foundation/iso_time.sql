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
