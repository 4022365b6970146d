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
