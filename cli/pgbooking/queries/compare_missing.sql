-- Why each of these starts, which another system offers, is not published: the calculator's verdict,
-- by explain_slot, and from it the cause. Where several rules stand in the way, the worst counts:
-- a time that is really taken stays one, whatever else is accepted.
--
-- An offer that is no single service is explained by the shortest that fits it and takes least
-- around it; a start that names no place by the place where least stands in its way.
with asked as (
  select *
  from unnest(
    %(numbers)s::integer[], %(staff_ids)s::uuid[], %(location_ids)s::uuid[], %(type_ids)s::uuid[],
    %(minutes)s::integer[], %(starts)s::timestamptz[]
  ) as a(number, staff_id, location_id, type_id, minutes, start_time)
),
candidates as (
  select a.number, a.staff_id, a.start_time, p.display_name, y.id as type_id, y.shape_id,
    y.duration_minutes * interval '1 minute' as duration,
    booking.claim_of(
      a.start_time, a.start_time + y.duration_minutes * interval '1 minute',
      y.buffer_before_minutes, y.buffer_after_minutes
    ) as claim, l.id as location_id, l.name as place,
    coalesce(l.timezone, t.timezone) as zone,
    exists (
      select
      from booking.refresh_queue q
      where q.tenant_id = %(tenant_id)s and q.staff_id = a.staff_id
    ) as is_queued
  from asked a
  join booking.tenants t on t.id = %(tenant_id)s
  join booking.staff p on p.tenant_id = %(tenant_id)s and p.id = a.staff_id
  left join lateral (
    select y.*
    from booking.appointment_types y
    where y.tenant_id = %(tenant_id)s
      and case
        when a.type_id is not null then y.id = a.type_id
        else y.is_active and y.duration_minutes = coalesce(a.minutes, y.duration_minutes)
          and exists (
            select
            from booking.staff_appointment_types o
            where o.tenant_id = %(tenant_id)s and o.staff_id = a.staff_id
              and o.appointment_type_id = y.id
          )
      end
    order by y.capacity > 1, y.duration_minutes,
      y.buffer_before_minutes + y.buffer_after_minutes, y.code
    limit 1
  ) as y on true
  left join booking.locations l
    on l.tenant_id = %(tenant_id)s
    and case
      when a.location_id is not null then l.id = a.location_id
      else exists (
        select
        from booking.working_hours h
        where h.tenant_id = %(tenant_id)s and h.staff_id = a.staff_id and h.location_id = l.id
      )
      or exists (
        select
        from booking.schedule_exceptions e
        where e.tenant_id = %(tenant_id)s and e.staff_id = a.staff_id and e.location_id = l.id
          and e.kind = 'open'
      )
    end
),
explained as materialized (
  select distinct on (c.number) c.*, coalesce(e.failed, '{}') as failed
  from candidates c
  left join lateral (
    select jsonb_object_agg(
      x.rule, jsonb_build_object('message', x.message, 'evidence', x.evidence)
    ) filter (where not x.passed) as failed
    from booking.explain_slot(
      %(tenant_id)s, c.staff_id, c.location_id, c.type_id, c.start_time
    ) x
  ) as e on c.type_id is not null and c.location_id is not null
  order by c.number, e.failed ? 'working_time', (
    select count(*) from jsonb_object_keys(coalesce(e.failed, '{}'))
  ), c.place
),
-- What takes the time itself, and not only the buffers around it.
judged as (
  select e.*, taken.source as taken_by, taken.evidence as taken_evidence,
    -- Who does not work then anyway has no break then.
    e.failed #>> '{working_time,evidence,0,table}' as cut_by,
    exists (
      select
      from booking.schedule_rows(%(tenant_id)s, e.staff_id, e.location_id, e.start_time) r
      where e.failed ? 'working_time' and r.covers and not r.is_cut
    ) as is_cut,
    (
      select min(x.row ->> 'table')
      from jsonb_array_elements(e.failed #> '{fit,evidence}') as x(row)
      having count(*) > 0 and bool_and(
        x.row ->> 'table' = 'breaks' or exists (
          select
          from booking.schedule_exceptions s
          where s.tenant_id = %(tenant_id)s and s.id = (x.row ->> 'id')::uuid and s.kind = 'closed'
        )
      )
    ) as runs_into,
    (e.failed #>> '{bookable,evidence,0,bookable_until}')::timestamptz <= booking.now() as is_late
  from explained e
  left join lateral (
    select x.row ->> 'table' as source, jsonb_build_array(x.row) as evidence
    from jsonb_array_elements(e.failed #> '{free,evidence}') as x(row)
    left join booking.appointments t
      on t.tenant_id = %(tenant_id)s and x.row ->> 'table' = 'appointments'
      and t.id = (x.row ->> 'id')::uuid
    where tstzrange(e.start_time, e.start_time + e.duration) && tstzrange(
      coalesce(t.start_time, (x.row ->> 'starts_at')::timestamptz),
      coalesce(t.end_time, (x.row ->> 'ends_at')::timestamptz)
    )
    order by x.row ->> 'table', x.row ->> 'starts_at'
    limit 1
  ) as taken on true
)
select
  j.number, j.display_name as person, j.zone, booking.local_text(j.start_time, j.zone) as local_time,
  booking.slot_id(%(tenant_id)s, j.staff_id, j.location_id, j.start_time, j.shape_id) as slot_id,
  v.cause, v.rule,
  case
    when v.cause = 'buffers_ignored'
    then format(
      'With its own it takes %%s. ', booking.period_text(lower(j.claim), upper(j.claim), j.zone)
    ) else ''
  end || (j.failed #>> array[v.rule, 'message']) as message,
  -- None where somebody works nowhere at all.
  coalesce(case v.cause
    when 'appointment' then j.taken_evidence
    when 'busy_time' then j.taken_evidence
    when 'outside_hours'
    then jsonb_path_query_array(
      j.failed #> '{working_time,evidence}', '$[*] ? (@.table <> "breaks")'
    )
    else j.failed #> array[v.rule, 'evidence']
  end, '[]') as evidence,
  array(
    select r.value ->> 'message' from jsonb_each(j.failed) r where r.key <> v.rule order by r.key
  ) as besides
from judged j
cross join lateral (
  select v.cause, v.rule
  from (
    values
      (1, 'in_the_past', 'bookable', j.start_time <= booking.now()),
      (2, 'not_offered', 'active', j.type_id is null or j.failed ? 'active'),
      (3, 'appointment', 'free', j.taken_by = 'appointments'),
      (4, 'busy_time', 'free', j.taken_by = 'busy_times'),
      (5, 'break_ignored', 'working_time', j.is_cut and j.cut_by = 'breaks'),
      (6, 'closed_day', 'working_time', j.is_cut and j.cut_by = 'schedule_exceptions'),
      (7, 'outside_hours', 'working_time', j.location_id is null or j.failed ? 'working_time'),
      (8, 'break_ignored', 'fit', j.runs_into = 'breaks'),
      (9, 'closed_day', 'fit', j.runs_into = 'schedule_exceptions'),
      (10, 'past_closing', 'fit', j.failed ? 'fit'),
      (11, 'travel_ignored', 'free', j.failed ? 'free' and not jsonb_path_exists(
        j.failed #> '{free,evidence}', '$[*] ? (!exists (@.travel_from))'
      )),
      (12, 'buffers_ignored', 'free', j.failed ? 'free'),
      (13, 'day_limit_ignored', 'day_limit', j.failed ? 'day_limit'),
      (14, 'off_grid', 'starts', j.failed ? 'starts'),
      (15, 'compact_ignored', 'compact', j.failed ? 'compact'),
      (16, 'too_late', 'bookable', j.is_late),
      (17, 'beyond_horizon', 'bookable', j.failed ? 'bookable'),
      (18, 'held', 'not_held', j.failed ? 'not_held'),
      (20, 'queued', '', j.is_queued),
      (21, 'stale', '', true)
    union all
    -- A rule that is not known here speaks for itself.
    select 19, k.rule, k.rule, true
    from jsonb_object_keys(j.failed) as k(rule)
  ) as v(number, cause, rule, is_so)
  where v.is_so
  order by v.number, v.rule
  limit 1
) as v
order by j.number
