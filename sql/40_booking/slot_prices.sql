-- What a service costs at some slots at this moment: its base price, changed by the tenant's
-- price_rules. Slots are given as three arrays of equal length and told by position, from 1.
--
-- A rule fits a slot when every condition that it has (is not null) holds:
--
--   appointment_type_id, staff_id, location_id   they are the slot's
--   weekdays                    has the ISO weekday of the slot's local date at its place
--   start_time to end_time      the start by the clock on the wall there, half open; an end at or
--                               before the start crosses midnight, and what begins after midnight
--                               is of its own date's weekday and season; 24:00 is the day's end
--   valid_from to valid_until   the local date, both inclusive
--   min_ to max_lead_minutes    whole minutes from now to the start, both inclusive
--   min_ to max_load_percent    how full the person's day is there (booking.day_loads), both
--                               inclusive
--
-- Of the rules that fit, the one of the highest priority (of equals the lowest id) decides: if it
-- does not stack, it alone counts; if it does, so does every other that fits and stacks.
-- Percentages are all of the base price and are added up, so that their order does not matter;
-- then come the cents: base * (1 + percent / 100) + cents, rounded by booking.rounded_price. Where
-- no rule fits the base price stays what it is, unrounded.
--
-- One look at an index where the tenant has no rules for the service. Days are measured only where
-- a rule that fits otherwise asks for their load, and each once. Reads the clock once. All null for
-- a service that does not exist. Locks nothing; refuses nothing. Callers may not call it: listings
-- and holds do, as the owner.
create or replace function booking.slot_prices(
  p_tenant_id uuid,
  p_type_id uuid,
  p_staff_ids uuid[],
  p_location_ids uuid[],
  p_start_times timestamptz[]
) returns table ("position" bigint, price_cents integer)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_base integer;
  v_currency text;
begin
  select y.price_cents, y.currency into v_base, v_currency
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.id = p_type_id;

  perform
  from booking.price_rules r
  where r.tenant_id = p_tenant_id
    and (r.appointment_type_id is null or r.appointment_type_id = p_type_id);
  if v_base is null or not found then
    return query
    select n, v_base from generate_series(1::bigint, cardinality(p_start_times)) as n;
    return;
  end if;

  return query
  with slots as materialized (
    select
      s.position, s.staff_id, s.location_id, local.start_time::date as local_date,
      local.start_time::time as local_time,
      extract(isodow from local.start_time)::integer as weekday,
      floor(extract(epoch from s.start_time - v_now) / 60) as lead_minutes
    from unnest(p_staff_ids, p_location_ids, p_start_times)
      with ordinality as s(staff_id, location_id, start_time, position)
    join booking.locations l on l.tenant_id = p_tenant_id and l.id = s.location_id
    join booking.tenants t on t.id = l.tenant_id
    cross join lateral (
      select s.start_time at time zone coalesce(l.timezone, t.timezone) as start_time
    ) as local
  ),
  -- All conditions but the load, which costs most.
  candidates as materialized (
    select
      s.position, s.staff_id, s.location_id, s.local_date, r.id, r.min_load_percent,
      r.max_load_percent, r.adjustment_percent, r.adjustment_cents, r.priority, r.stacks
    from slots s
    join booking.price_rules r
      on (r.appointment_type_id is null or r.appointment_type_id = p_type_id)
      and (r.staff_id is null or r.staff_id = s.staff_id)
      and (r.location_id is null or r.location_id = s.location_id)
      and (r.weekdays is null or s.weekday = any (r.weekdays))
      and (r.start_time is null or case
        when r.start_time < r.end_time
        then s.local_time >= r.start_time and s.local_time < r.end_time
        else s.local_time >= r.start_time or s.local_time < r.end_time
      end)
      and (r.valid_from is null or s.local_date >= r.valid_from)
      and (r.valid_until is null or s.local_date <= r.valid_until)
      and (r.min_lead_minutes is null or s.lead_minutes >= r.min_lead_minutes)
      and (r.max_lead_minutes is null or s.lead_minutes <= r.max_lead_minutes)
    where r.tenant_id = p_tenant_id
  ),
  loads as materialized (
    select d.staff_id, d.location_id, d.local_date, d.load_percent
    from (
      select
        array_agg(c.staff_id) as staff_ids,
        array_agg(c.location_id) as location_ids,
        array_agg(c.local_date) as local_dates
      from (
        select distinct c.staff_id, c.location_id, c.local_date
        from candidates c
        where c.min_load_percent is not null or c.max_load_percent is not null
      ) as c
      having count(*) > 0
    ) as asked
    cross join lateral booking.day_loads(
      p_tenant_id, asked.staff_ids, asked.location_ids, asked.local_dates
    ) d
  ),
  fitting as (
    select
      c.position, c.adjustment_percent, c.adjustment_cents, c.stacks,
      row_number() over by_rank as rank, first_value(c.stacks) over by_rank as first_stacks
    from candidates c
    left join loads d
      on d.staff_id = c.staff_id and d.location_id = c.location_id and d.local_date = c.local_date
    where (c.min_load_percent is null or d.load_percent >= c.min_load_percent)
      and (c.max_load_percent is null or d.load_percent <= c.max_load_percent)
    window by_rank as (partition by c.position order by c.priority desc, c.id)
  ),
  changes as (
    select
      f.position, sum(f.adjustment_percent) as percent, sum(f.adjustment_cents) as cents
    from fitting f
    where f.rank = 1 or (f.first_stacks and f.stacks)
    group by f.position
  )
  select n, coalesce(
    booking.rounded_price(v_base * (100 + c.percent) * 0.01 + c.cents, v_currency), v_base
  )
  from generate_series(1::bigint, cardinality(p_start_times)) as n
  left join changes c on c.position = n;
end
$$;

comment on function booking.slot_prices(uuid, uuid, uuid[], uuid[], timestamptz[]) is
  'What a service costs now at each slot (person, place, start; three arrays), by position from 1:
the base price, changed by the price_rules that fit. The one of the highest priority decides; if it
stacks, all that stack count: base * (1 + sum of percent / 100) + sum of cents, rounded.';
