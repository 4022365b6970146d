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
