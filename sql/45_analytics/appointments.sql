-- Figures of appointments, whoever wrote them, by the hour of their start (the place's zone).
--
--   appointments    all of them, cancelled ones included
--   cancelled       with notice_minutes in all, from the cancellation to the start (0 where it came
--                   later); cancelled_late with less than a day's notice
--   no_shows        those of status no_show
--   starts          starts that live appointments take; a class counts once, however full
--   booked_minutes  of live appointments, from start to end; buffer_minutes around them; a class
--                   counts once; a missed appointment took its time, too
--   travel_minutes  from the person's live appointment before it on that date, where that was at
--                   another place: what travel_times says
--   lead            from the booking to the start: lead_minutes in all, and how many were booked on
--                   the day itself, 1 to 6, 7 to 29, 30 or more local dates ahead. Not told of what
--                   came from another system (external_id), or was written after it began.
create or replace function booking.appointments_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return query
  with found as (
    select
      a.*, a.start_time at time zone p.zone as local_time, p.zone,
      a.status <> 'cancelled' and row_number() over (
        partition by coalesce(a.slot_id, a.id), a.status = 'cancelled' order by a.id
      ) = 1 as takes_time,
      case when a.external_id is null and a.created_at <= a.start_time
        then a.start_time - a.created_at
      end as lead,
      case when a.status = 'cancelled'
        then greatest(a.start_time - a.cancelled_at, interval '0')
      end as notice
    from booking.tenants t
    join booking.staff s on s.tenant_id = t.id
    join booking.appointments a
      on a.tenant_id = t.id and a.staff_id = s.id
      -- In every zone.
      and a.start_time >= (lower(p_days) - 1)::timestamp at time zone 'UTC'
      and a.start_time < (upper(p_days) + 1)::timestamp at time zone 'UTC'
    join booking.locations l on l.tenant_id = t.id and l.id = a.location_id
    cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as p
    where t.id = p_tenant_id
  ),
  travelled as (
    select f.id, coalesce(own.minutes, back.minutes) as minutes
    from (
      select f.id, f.location_id, lag(f.location_id) over (
        partition by f.staff_id, f.local_time::date order by f.start_time
      ) as from_location_id
      from found f
      where f.takes_time
    ) as f
    left join booking.travel_times own
      on own.tenant_id = p_tenant_id
      and own.from_location_id = f.from_location_id and own.to_location_id = f.location_id
    left join booking.travel_times back
      on back.tenant_id = p_tenant_id
      and back.from_location_id = f.location_id and back.to_location_id = f.from_location_id
  ),
  told as (
    select
      f.*, v.minutes as travel,
      f.local_time::date - (f.created_at at time zone f.zone)::date as days_ahead
    from found f
    left join travelled v on v.id = f.id
    where f.local_time::date <@ p_days
  )
  select
    p_tenant_id, gen_random_uuid(), f.local_time::date,
    date_trunc('week', f.local_time::date::timestamp)::date,
    extract(hour from f.local_time)::integer, f.staff_id, f.location_id, f.appointment_type_id,
    count(*),
    count(*) filter (where f.status = 'cancelled'),
    count(*) filter (where f.notice < interval '24 hours'),
    count(*) filter (where f.status = 'no_show'),
    (coalesce(extract(epoch from sum(f.notice)), 0) / 60)::bigint,
    count(*) filter (where f.takes_time),
    coalesce(sum(f.duration_minutes) filter (where f.takes_time), 0)::bigint,
    coalesce(
      sum(f.buffer_before_minutes + f.buffer_after_minutes) filter (where f.takes_time), 0
    )::bigint,
    coalesce(sum(f.travel), 0)::bigint,
    (coalesce(extract(epoch from sum(f.lead)), 0) / 60)::bigint,
    count(f.lead) filter (where f.days_ahead = 0),
    count(f.lead) filter (where f.days_ahead between 1 and 6),
    count(f.lead) filter (where f.days_ahead between 7 and 29),
    count(f.lead) filter (where f.days_ahead >= 30)
  from told f
  group by f.local_time::date, extract(hour from f.local_time), f.staff_id, f.location_id,
    f.appointment_type_id;
end
$$;

comment on function booking.appointments_of(uuid, daterange) is
  'Appointments that begin on those dates (the places'' zones), as booking.daily_appointments keeps
them.';

create or replace function booking.live_appointments(p_tenant_id uuid)
returns setof booking.daily_appointments
language sql stable parallel safe security definer
set search_path = ''
as $$
  select a.* from booking.appointments_of(p_tenant_id, booking.live_days(p_tenant_id)) a
$$;

comment on function booking.live_appointments(uuid) is
  'booking.appointments_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.appointments_by_day() returns table (
  tenant_id uuid,
  date date,
  week date,
  hour integer,
  staff_id uuid,
  location_id uuid,
  appointment_type_id uuid,
  appointments bigint,
  cancelled bigint,
  cancelled_late bigint,
  no_shows bigint,
  notice_minutes bigint,
  starts bigint,
  booked_minutes bigint,
  buffer_minutes bigint,
  travel_minutes bigint,
  lead_minutes bigint,
  same_day bigint,
  days_1_to_6 bigint,
  days_7_to_29 bigint,
  days_30_or_more bigint
)
language sql stable parallel safe
as $$
  select
    r.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.appointment_type_id,
    r.appointments, r.cancelled, r.cancelled_late, r.no_shows, r.notice_minutes, r.starts,
    r.booked_minutes, r.buffer_minutes, r.travel_minutes, r.lead_minutes, r.same_day,
    r.days_1_to_6, r.days_7_to_29, r.days_30_or_more
  from booking.daily_appointments r
  union all
  select
    t.tenant_id, r.date, r.week, r.hour, r.staff_id, r.location_id, r.appointment_type_id,
    r.appointments, r.cancelled, r.cancelled_late, r.no_shows, r.notice_minutes, r.starts,
    r.booked_minutes, r.buffer_minutes, r.travel_minutes, r.lead_minutes, r.same_day,
    r.days_1_to_6, r.days_7_to_29, r.days_30_or_more
  from booking.analysed_tenants() t
  cross join lateral booking.live_appointments(t.tenant_id) r
$$;

comment on function booking.appointments_by_day() is
  'booking.daily_appointments with the dates that are not rolled up yet.';
