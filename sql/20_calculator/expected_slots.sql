-- What availability_slots must hold for these people and local dates: the calculator's grid, from
-- the location's today to the calendar's materialized_until; the slots that a live appointment or
-- a hold names though the grid has them no more (never available, or they would be published when
-- the hold expires); and the hold columns, which say what slot_reservations says. refresh_slots
-- writes it, find_differences compares with it. Reads only, locks nothing, refuses nothing.
--
-- With p_beyond the same of the days after materialized_until that can be booked: they have no rows
-- and are calculated when somebody asks (find_open_slots), who may ask for some shapes only.
--
-- A hold bars as an appointment would: slots that its claim overlaps or from which it leaves no
-- time to travel (rule 4), and, with appointments and other holds, a day that is then full (rule
-- 5).
--
-- Expired holds that no writer has deleted yet still count: the result follows the rows alone, and
-- readers compare reserved_until with the clock.
--
-- p_grid_stands is not asked: calls of release 0.1.0 that an upgrade has overtaken still pass it.
create or replace function booking.expected_slots(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_from date,
  p_to date,
  p_grid_stands boolean default false,
  p_beyond boolean default false,
  p_shape_ids uuid[] default null
) returns table (
  staff_id uuid,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  duration_minutes integer,
  claim tstzrange,
  capacity integer,
  seats_left integer,
  is_available boolean,
  bookable_from timestamptz,
  bookable_until timestamptz,
  reserved_until timestamptz,
  reserved_by_session bytea,
  appointment_id uuid
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
-- As in calculate_slots: how many rows the functions yield is not to be foreseen.
set enable_nestloop = off
set enable_mergejoin = off
set enable_hashjoin = on
set jit = off
as $$
declare
  v_today date := (booking.now() at time zone 'UTC')::date;
  v_from date;
  v_to date;
begin
  -- Nothing is to be said outside these dates, so nothing outside them is worth calculating.
  select
    greatest(p_from, v_today - 1, case when p_beyond then min(c.materialized_until) + 1 end),
    least(p_to, case
      when p_beyond then v_today + 1 + min(t.booking_horizon_days)
      else max(c.materialized_until)
    end)
  into v_from, v_to
  from booking.calendars c
  join booking.tenants t on t.id = c.tenant_id
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids);

  return query
  with bounds as materialized (
    select * from booking.published_bounds(p_tenant_id, p_staff_ids, v_from, v_to, p_beyond)
  ),
  edges as (
    select min(b.first_start) as first_start, max(b.end_of_starts) as end_of_starts from bounds b
  ),
  appointed as (
    select a.staff_id, a.location_id, a.shape_id, a.start_time,
      count(*)::integer as booked, (array_agg(a.id order by a.id))[1] as appointment_id
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.staff_id = any (p_staff_ids)
      and a.status <> 'cancelled' and a.slot_id is not null
      and a.start_time >= (select e.first_start from edges e)
      and a.start_time < (select e.end_of_starts from edges e)
    group by a.staff_id, a.location_id, a.shape_id, a.start_time
  ),
  holds as materialized (
    select h.staff_id, h.location_id, h.shape_id, h.start_time, h.claim, h.expires_at,
      h.session_hash, h.slot_id,
      h.start_time + sh.duration_minutes * interval '1 minute' as end_time
    from booking.slot_reservations h
    join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
    where h.tenant_id = p_tenant_id and h.staff_id = any (p_staff_ids)
  ),
  -- Slots that somebody attends or holds, on the grid or not.
  named as (
    select n.*, sh.duration_minutes, sh.is_group,
      n.start_time + sh.duration_minutes * interval '1 minute' as end_time,
      booking.claim_of(
        n.start_time, n.start_time + sh.duration_minutes * interval '1 minute',
        sh.buffer_before_minutes, sh.buffer_after_minutes
      ) as claim,
      coalesce(t.capacity, 1) as capacity,
      booking.bookable_from(
        n.start_time, sh.max_advance_days, b.zone, b.tenant_zone, b.booking_horizon_days
      ) as bookable_from,
      n.start_time - sh.min_notice_minutes * interval '1 minute' as bookable_until
    from (
      select coalesce(a.staff_id, h.staff_id) as staff_id,
        coalesce(a.location_id, h.location_id) as location_id,
        coalesce(a.shape_id, h.shape_id) as shape_id,
        coalesce(a.start_time, h.start_time) as start_time,
        coalesce(a.booked, 0) as booked, a.appointment_id,
        coalesce(h.seats, 0) as seats, h.own_expiries
      from appointed a
      full join (
        select o.staff_id, o.location_id, o.shape_id, o.start_time,
          count(*)::integer as seats, array_agg(o.expires_at order by o.expires_at) as own_expiries
        from holds o
        group by o.staff_id, o.location_id, o.shape_id, o.start_time
      ) as h
        on h.staff_id = a.staff_id and h.location_id = a.location_id
        and h.shape_id = a.shape_id and h.start_time = a.start_time
    ) as n
    join bounds b on b.staff_id = n.staff_id and b.location_id = n.location_id
    join booking.slot_shapes sh on sh.tenant_id = p_tenant_id and sh.id = n.shape_id
    left join booking.appointment_types t
      on t.tenant_id = p_tenant_id and t.id = sh.group_type_id
  ),
  -- Rule 4: holds, as they bar each place.
  seen_holds as (
    select h.staff_id, b.location_id, h.slot_id, h.session_hash, h.expires_at, case
      when t.location_id is null then h.claim
      else tstzrange(
        lower(h.claim) - t.minutes_to * interval '1 minute',
        upper(h.claim) + t.minutes_from * interval '1 minute'
      )
    end as barred
    from holds h
    join bounds b on b.staff_id = h.staff_id
    left join booking.travel_around(p_tenant_id) t
      on t.location_id = h.location_id and t.other_location_id = b.location_id
  ),
  -- Rule 5: the local days that holds touch, for people with a day limit, and how many of them such
  -- a day has room for. Holds of one slot are one, until the last of them expires, and none where
  -- somebody attends it already.
  held_days as materialized (
    select h.staff_id, b.location_id, day.period, h.slot_id, max(h.expires_at) as expires_at,
      (
        select s.max_appointments_per_day - count(distinct coalesce(a.slot_id, a.id))
        from booking.appointments a
        where a.tenant_id = p_tenant_id and a.staff_id = h.staff_id and a.claim && day.period
          and tstzrange(a.start_time, a.end_time) && day.period
          and upper(a.claim) > lower(day.period) and a.status <> 'cancelled'
      ) as room
    from holds h
    join booking.staff s
      on s.tenant_id = p_tenant_id and s.id = h.staff_id and s.max_appointments_per_day > 0
    join bounds b on b.staff_id = h.staff_id
    cross join lateral (
      select tstzrange(
        booking.first_instant(local_date::date, b.zone),
        booking.first_instant(local_date::date + 1, b.zone)
      ) as period
      from generate_series(
        (h.start_time at time zone b.zone)::date::timestamp,
        ((h.end_time - interval '1 microsecond') at time zone b.zone)::date::timestamp,
        interval '1 day'
      ) as local_date
    ) as day
    where not exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.slot_id = h.slot_id and a.status <> 'cancelled'
    )
    group by h.staff_id, b.location_id, day.period, h.slot_id, s.max_appointments_per_day
  ),
  -- What each person's slots at a place have to be asked about: mostly nothing.
  places as materialized (
    select b.staff_id, b.location_id, b.first_start, b.end_of_starts,
      h.held_time, h.barred, h.slot_ids, h.session_hashes, h.expiries, d.held_days
    from bounds b
    left join (
      select s.staff_id, s.location_id, range_agg(s.barred) as held_time,
        array_agg(s.barred) as barred, array_agg(s.slot_id) as slot_ids,
        array_agg(s.session_hash) as session_hashes, array_agg(s.expires_at) as expiries
      from seen_holds s
      group by s.staff_id, s.location_id
    ) as h on h.staff_id = b.staff_id and h.location_id = b.location_id
    left join (
      select f.staff_id, f.location_id, range_agg(f.period) as held_days
      from held_days f
      where f.room > 0
      group by f.staff_id, f.location_id
    ) as d on d.staff_id = b.staff_id and d.location_id = b.location_id
  ),
  slots as (
    select
      coalesce(g.staff_id, n.staff_id) as staff_id,
      coalesce(g.location_id, n.location_id) as location_id,
      coalesce(g.shape_id, n.shape_id) as shape_id,
      coalesce(g.start_time, n.start_time) as start_time,
      coalesce(g.end_time, n.end_time) as end_time,
      coalesce(g.duration_minutes, n.duration_minutes) as duration_minutes,
      coalesce(g.claim, n.claim) as claim,
      coalesce(g.capacity, n.capacity) as capacity,
      coalesce(g.is_available, false) as is_available,
      case when g.staff_id is null then n.bookable_from else g.bookable_from end as bookable_from,
      coalesce(g.bookable_until, n.bookable_until) as bookable_until,
      n.is_group, n.appointment_id, n.own_expiries,
      coalesce(n.booked, 0) as booked, coalesce(n.seats, 0) as seats
    from booking.calculate_slots(
      p_tenant_id, p_staff_ids, v_from, v_to, null, null, p_shape_ids
    ) g
    full join named n
      on n.staff_id = g.staff_id and n.location_id = g.location_id
      and n.shape_id = g.shape_id and n.start_time = g.start_time
  )
  select
    s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time, s.duration_minutes, s.claim,
    s.capacity, greatest(s.capacity - s.booked - s.seats, 0),
    s.is_available, s.bookable_from, s.bookable_until,
    -- Free again once the holds of other slots are gone, or leave room on its day (a class that
    -- somebody attends has its day), and, where attendees and holds fill it, as many of its own as
    -- leave one seat.
    greatest(
      case when p.held_time && s.claim then (
        select max(h.expires_at)
        from unnest(p.barred, p.slot_ids, p.expiries) as h(barred, slot_id, expires_at)
        where h.barred && s.claim and h.slot_id <> booking.slot_id(
          p_tenant_id, s.staff_id, s.location_id, s.start_time, s.shape_id
        )
      ) end,
      case
        when p.held_days && tstzrange(s.start_time, s.end_time)
          and not coalesce(s.is_group and s.booked > 0, false)
        then (
          select max(last.expires_at)
          from (
            select distinct d.period, d.room
            from held_days d
            where d.staff_id = s.staff_id and d.location_id = s.location_id and d.room > 0
              and d.period && tstzrange(s.start_time, s.end_time)
          ) as day
          cross join lateral (
            select d.expires_at
            from held_days d
            where d.staff_id = s.staff_id and d.location_id = s.location_id
              and d.period = day.period
              and d.slot_id <> booking.slot_id(
                p_tenant_id, s.staff_id, s.location_id, s.start_time, s.shape_id
              )
            order by d.expires_at desc
            offset day.room - 1
            limit 1
          ) as last
        )
      end,
      case
        when s.seats > 0 and s.booked + s.seats >= s.capacity
        then s.own_expiries[least(s.seats, s.seats + s.booked - s.capacity + 1)]
      end
    ),
    case when p.held_time && s.claim then (
      select case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
      from unnest(p.barred, p.session_hashes) as h(barred, session_hash)
      where h.barred && s.claim
    ) end,
    case when not s.is_group then s.appointment_id end
  from slots s
  join places p
    on p.staff_id = s.staff_id and p.location_id = s.location_id
    and s.start_time >= p.first_start and s.start_time < p.end_of_starts;
end
$$;

comment on function booking.expected_slots(
  uuid, uuid[], date, date, boolean, boolean, uuid[]
) is
  'What availability_slots must hold for these people and local dates (null: no bound), hold columns
included; nothing before a location''s today or after a calendar''s materialized_until. p_beyond:
the same of the days after that, which have no rows, up to the location''s today +
booking_horizon_days.';
