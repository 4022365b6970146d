-- Figures of what people had to offer, by hours of their places: starts on their grids, each once
-- whatever the service, booked or not, but for those in a busy time; and minutes of working time.
-- As the calculator sees it now: hours that were changed after the date, and people, places and
-- services that are no longer active, change what it says of a past date. Therefore it is asked on
-- the day after, and not again.
create or replace function booking.supply_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_supply
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := array(
    select s.id from booking.staff s where s.tenant_id = p_tenant_id and s.is_active
  );
begin
  if isempty(p_days) or p_days is null then
    return;
  end if;

  return query
  with places as (
    select l.id, coalesce(l.timezone, t.timezone) as zone
    from booking.tenants t
    join booking.locations l on l.tenant_id = t.id
    where t.id = p_tenant_id and t.is_active and l.is_active
  ),
  starts as (
    select distinct c.staff_id, c.location_id, c.start_time
    from booking.calculate_slots(p_tenant_id, null, lower(p_days), upper(p_days) - 1) c
    where c.is_on_grid
  ),
  windows as (
    select w.staff_id, w.location_id, p.zone,
      unnest(range_agg(tstzrange(w.starts_at, w.ends_at))) as period
    from booking.working_time(
      p_tenant_id, v_staff_ids, lower(p_days) - 1, upper(p_days) - 1
    ) w
    join places p on p.id = w.location_id
    group by w.staff_id, w.location_id, p.zone
  ),
  figures as (
    select s.staff_id, s.location_id, s.start_time at time zone p.zone as local_time,
      1 as offered, interval '0' as worked
    from starts s
    join places p on p.id = s.location_id
    where not exists (
      select
      from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.staff_id = s.staff_id
        and b.end_time > s.start_time and b.start_time <= s.start_time
    )
    union all
    select w.staff_id, w.location_id, hour at time zone w.zone, 0,
      least(upper(w.period), hour + interval '1 hour') - greatest(lower(w.period), hour)
    from windows w
    cross join lateral generate_series(
      date_trunc('hour', lower(w.period), w.zone), upper(w.period), interval '1 hour'
    ) as hour
    where hour < upper(w.period)
  )
  select
    p_tenant_id, gen_random_uuid(), f.local_time::date,
    date_trunc('week', f.local_time::date::timestamp)::date,
    extract(hour from f.local_time)::integer, f.staff_id, f.location_id, sum(f.offered)::bigint,
    (extract(epoch from sum(f.worked)) / 60)::bigint
  from figures f
  where f.local_time::date <@ p_days
  group by f.local_time::date, extract(hour from f.local_time), f.staff_id, f.location_id;
end
$$;

comment on function booking.supply_of(uuid, daterange) is
  'Starts on offer and working minutes of those dates (the places'' zones), as booking.daily_supply
keeps them.';

create or replace function booking.live_supply(p_tenant_id uuid)
returns setof booking.daily_supply
language sql stable parallel safe security definer
set search_path = ''
as $$
  select s.* from booking.supply_of(p_tenant_id, booking.live_days(p_tenant_id)) s
$$;

comment on function booking.live_supply(uuid) is
  'booking.supply_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.supply_by_day() returns table (
  tenant_id uuid,
  date date,
  week date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  offered bigint,
  working_minutes bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.offered,
    r.working_minutes
  from booking.daily_supply r
  union all
  select t.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.offered,
    r.working_minutes
  from booking.analysed_tenants() t
  cross join lateral booking.live_supply(t.tenant_id) r
$$;

comment on function booking.supply_by_day() is
  'booking.daily_supply with the dates that are not rolled up yet.';
