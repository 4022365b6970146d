-- Figures of what was tried: searches, holds, bookings, by the hour in which it was (tenant's
-- zone), who and what it was about. Holds and bookings are those of the booking functions, from the
-- audit trail. A session that holds a slot again, and a booking that is told again, count once a
-- day. The time from hold to booking begins with the session's first hold of that slot within the
-- day before.
create or replace function booking.attempts_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_attempts
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
  with calls as (
    select
      a.occurred_at, a.occurred_at at time zone v_zone as local_time, a.code, a.session_hash,
      a.slot_id, a.appointment_id, a.staff_id,
      (a.details ->> 'appointment_type_id')::uuid as appointment_type_id,
      case a.action when 'create_appointment' then 'book' else 'hold' end as action
    from booking.audit_log a
    where a.tenant_id = p_tenant_id
      and a.occurred_at >= v_from - interval '1 day' and a.occurred_at < v_until
      and a.action in ('reserve_slot', 'reserve_time', 'create_appointment')
      and not a.details ? 'is_direct'
  ),
  counted as (
    select
      c.*,
      c.code is not null or row_number() over (
        partition by c.code, c.action, c.local_time::date,
          case c.action when 'book' then c.appointment_id else c.slot_id end,
          case c.action when 'hold' then c.session_hash end
        order by c.occurred_at
      ) = 1 as counts,
      case when c.code is null and c.action = 'book' then c.occurred_at - min(c.occurred_at)
        filter (where c.code is null and c.action = 'hold') over (
          partition by c.slot_id, c.session_hash
          order by c.occurred_at range between interval '1 day' preceding and current row
        )
      end as since_hold
    from calls c
  )
  select
    p_tenant_id, gen_random_uuid(), c.local_time::date, extract(hour from c.local_time)::integer,
    c.staff_id, c.appointment_type_id, c.action, c.code,
    count(*),
    count(c.since_hold),
    coalesce(sum(extract(epoch from c.since_hold)), 0)::bigint
  from counted c
  where c.counts and c.occurred_at >= v_from
  group by c.local_time::date, extract(hour from c.local_time), c.staff_id, c.appointment_type_id,
    c.action, c.code
  union all
  select
    p_tenant_id, gen_random_uuid(), s.local_time::date, extract(hour from s.local_time)::integer,
    s.staff_id, s.appointment_type_id, 'search', s.code, sum(s.stands_for)::bigint, 0, 0
  from (
    select s.staff_id, s.appointment_type_id, s.stands_for,
      s.searched_at at time zone v_zone as local_time,
      case when not s.has_result then 'without_result' end as code
    from booking.searches s
    where s.tenant_id = p_tenant_id and s.searched_at >= v_from and s.searched_at < v_until
  ) as s
  group by s.local_time::date, extract(hour from s.local_time), s.staff_id, s.appointment_type_id,
    s.code;
end
$$;

comment on function booking.attempts_of(uuid, daterange) is
  'Searches, holds and bookings of those dates (tenant''s zone), as booking.daily_attempts keeps
them.';

create or replace function booking.live_attempts(p_tenant_id uuid)
returns setof booking.daily_attempts
language sql stable parallel safe security definer
set search_path = ''
as $$
  select a.* from booking.attempts_of(p_tenant_id, booking.live_days(p_tenant_id)) a
$$;

comment on function booking.live_attempts(uuid) is
  'booking.attempts_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.attempts_by_day() returns table (
  tenant_id uuid,
  date date,
  hour integer,
  staff_id uuid,
  appointment_type_id uuid,
  action text,
  code text,
  attempts bigint,
  timed bigint,
  seconds bigint
)
language sql stable parallel safe
as $$
  select
    r.tenant_id, r.date, r.hour, r.staff_id, r.appointment_type_id, r.action, r.code, r.attempts,
    r.timed, r.seconds
  from booking.daily_attempts r
  union all
  select
    t.tenant_id, r.date, r.hour, r.staff_id, r.appointment_type_id, r.action, r.code, r.attempts,
    r.timed, r.seconds
  from booking.analysed_tenants() t
  cross join lateral booking.live_attempts(t.tenant_id) r
$$;

comment on function booking.attempts_by_day() is
  'booking.daily_attempts with the dates that are not rolled up yet.';
