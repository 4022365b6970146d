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
