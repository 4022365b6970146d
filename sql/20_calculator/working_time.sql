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
