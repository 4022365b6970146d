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
