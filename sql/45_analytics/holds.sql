-- Figures of which starts were held: by hours of their places, for holds that were made on those
-- dates (tenant's zone), whatever became of them. A session that holds a slot again counts once a
-- day.
create or replace function booking.holds_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_holds
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_zone text;
  v_from timestamptz;
  v_until timestamptz;
begin
  select t.timezone, booking.first_instant(lower(p_days), t.timezone),
    booking.first_instant(upper(p_days), t.timezone)
  into v_zone, v_from, v_until
  from booking.tenants t
  where t.id = p_tenant_id;

  return query
  select
    p_tenant_id, gen_random_uuid(), h.held_on, h.local_time::date,
    extract(hour from h.local_time)::integer, h.staff_id, h.location_id,
    count(distinct (h.session_hash, h.slot_id))
  from (
    select
      (a.occurred_at at time zone v_zone)::date as held_on,
      (a.details ->> 'start_time')::timestamptz
        at time zone coalesce(l.timezone, v_zone) as local_time,
      a.staff_id, l.id as location_id, a.session_hash, a.slot_id
    from booking.audit_log a
    join booking.locations l
      on l.tenant_id = a.tenant_id and l.id = (a.details ->> 'location_id')::uuid
    where a.tenant_id = p_tenant_id and a.occurred_at >= v_from and a.occurred_at < v_until
      and a.action in ('reserve_slot', 'reserve_time') and a.code is null
  ) as h
  group by h.held_on, h.local_time::date, extract(hour from h.local_time), h.staff_id,
    h.location_id;
end
$$;

comment on function booking.holds_of(uuid, daterange) is
  'Starts that were held on those dates (tenant''s zone), as booking.daily_holds keeps them.';

create or replace function booking.live_holds(p_tenant_id uuid)
returns setof booking.daily_holds
language sql stable parallel safe security definer
set search_path = ''
as $$
  select h.* from booking.holds_of(p_tenant_id, booking.live_days(p_tenant_id)) h
$$;

comment on function booking.live_holds(uuid) is
  'booking.holds_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.holds_by_day() returns table (
  tenant_id uuid,
  held_on date,
  date date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  held bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.held_on, r.date, r.hour, r.staff_id, r.location_id, r.held
  from booking.daily_holds r
  union all
  select t.tenant_id, r.held_on, r.date, r.hour, r.staff_id, r.location_id, r.held
  from booking.analysed_tenants() t
  cross join lateral booking.live_holds(t.tenant_id) r
$$;

comment on function booking.holds_by_day() is
  'booking.daily_holds with the dates that are not rolled up yet.';
