-- A period with as much more on either side. Reads nothing, refuses nothing.
create or replace function booking.widened(p_period tstzrange, p_reach interval) returns tstzrange
language sql stable parallel safe
as $$
  select tstzrange(lower(p_period) - p_reach, upper(p_period) + p_reach)
$$;

comment on function booking.widened(tstzrange, interval) is
  'The period from p_reach before to p_reach after. Inlinable on purpose, hence without a pinned
search_path.';
