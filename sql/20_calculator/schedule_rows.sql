-- The rows behind rule 1 for one person and place, on the dates around an instant: what opens
-- (weekly hours of a date, or the "open" exceptions that replace them) and what is cut from it
-- (breaks, "closed" exceptions), each with the period that it means there. For explaining only; the
-- verdict is working_time's. Reads only, refuses nothing.
--
-- covers: the instant lies in the row's period. What opens is united as local times before those
-- become instants (working_time), so where clocks change it covers what it covers on the wall
-- clock, too.
create or replace function booking.schedule_rows(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_at timestamptz
) returns table (
  source text,
  id uuid,
  is_cut boolean,
  covers boolean,
  local_date date,
  starts_at timestamptz,
  ends_at timestamptz,
  note text
)
language sql stable parallel safe
set search_path = ''
as $$
  with place as (
    select coalesce(l.timezone, t.timezone) as zone
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    where l.tenant_id = p_tenant_id and l.id = p_location_id
  ),
  days as (
    select (p_at at time zone p.zone)::date + n as local_date, p.zone,
      extract(isodow from (p_at at time zone p.zone)::date + n)::integer as weekday
    from place p
    cross join generate_series(-2, 2) as n
  ),
  works_here as (
    select exists (
      select
      from booking.working_hours h
      where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
        and h.location_id = p_location_id
    ) as has_hours
  ),
  exceptions as (
    select e.kind, e.id, d.local_date, d.zone, e.note,
      booking.local_period(d.local_date, e.start_time, e.end_time) as period
    from booking.schedule_exceptions e
    join days d on d.local_date between e.first_date and e.last_date
    cross join works_here w
    where e.tenant_id = p_tenant_id
      and coalesce(e.staff_id, p_staff_id) = p_staff_id
      and coalesce(e.location_id, p_location_id) = p_location_id
      and (
        e.kind = 'closed' or w.has_hours
        or (e.staff_id is not null and e.location_id is not null)
      )
  ),
  rows as (
    select 'schedule_exceptions' as source, e.id, e.kind = 'closed' as is_cut, e.local_date, e.zone,
      e.period, e.note
    from exceptions e
    union all
    select 'working_hours', h.id, false, d.local_date, d.zone,
      booking.local_period(d.local_date, h.start_time, h.end_time), null
    from booking.working_hours h
    join days d
      on d.weekday = h.weekday
      and d.local_date >= coalesce(h.valid_from, d.local_date)
      and d.local_date <= coalesce(h.valid_until, d.local_date)
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id
      and h.location_id = p_location_id
      and not exists (
        select from exceptions e where e.kind = 'open' and e.local_date = d.local_date
      )
    union all
    select 'breaks', b.id, true, d.local_date, d.zone,
      booking.local_period(d.local_date, b.start_time, b.end_time), null
    from booking.breaks b
    join days d
      on d.weekday = coalesce(b.weekday, d.weekday)
      and d.local_date >= coalesce(b.valid_from, d.local_date)
      and d.local_date <= coalesce(b.valid_until, d.local_date)
    where b.tenant_id = p_tenant_id
      and coalesce(b.staff_id, p_staff_id) = p_staff_id
      and coalesce(b.location_id, p_location_id) = p_location_id
  )
  select r.source, r.id, r.is_cut,
    (p_at >= t.starts_at and p_at < t.ends_at)
      or (not r.is_cut and r.period @> (p_at at time zone r.zone)),
    r.local_date, t.starts_at, t.ends_at, r.note
  from rows r
  cross join lateral (
    select lower(r.period) at time zone r.zone as starts_at,
      upper(r.period) at time zone r.zone as ends_at
  ) as t
$$;

comment on function booking.schedule_rows(uuid, uuid, uuid, timestamptz) is
  'The rows of working_hours, schedule_exceptions and breaks that make a person''s days at a place,
from two local dates before an instant to two after.';
