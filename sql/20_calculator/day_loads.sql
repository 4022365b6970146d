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
