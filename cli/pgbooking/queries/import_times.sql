-- Each row's start and end as instants. A local time is read in the zone of the row, the mapping, the
-- location or the tenant; where clocks change, AT TIME ZONE takes the later of two instants, and the
-- oddity is told. A day begins when the clocks first show its midnight.
with local as (
  select
    r.*, coalesce(r.own_time_zone, %(time_zone)s, l.timezone, t.timezone) as time_zone,
    (r.appointment_type_ids)[1] as appointment_type_id
  from jsonb_to_recordset(%(rows)s) as r(
    line integer, external_id text, location_id uuid, appointment_type_ids uuid[],
    duration_minutes double precision, own_time_zone text, is_all_day boolean,
    start_at timestamptz, start_local timestamp, end_at timestamptz, end_local timestamp
  )
  join booking.tenants t on t.id = %(tenant_id)s
  left join booking.locations l on l.tenant_id = %(tenant_id)s and l.id = r.location_id
),
timed as (
  select
    r.*,
    case
      when r.is_all_day then booking.first_instant(r.start_local, r.time_zone)
      else coalesce(r.start_at, r.start_local at time zone r.time_zone)
    end as start_time,
    case
      when r.is_all_day then booking.first_instant(r.end_local, r.time_zone)
      else coalesce(r.end_at, r.end_local at time zone r.time_zone)
    end as end_time
  from local r
)
select
  r.external_id, r.start_time, r.time_zone,
  coalesce(
    r.end_time,
    r.start_time + coalesce(r.duration_minutes, t.duration_minutes) * interval '1 minute'
  ) as end_time,
  case when %(use_buffers)s then coalesce(t.buffer_before_minutes, 0) else 0 end
    as buffer_before_minutes,
  case when %(use_buffers)s then coalesce(t.buffer_after_minutes, 0) else 0 end
    as buffer_after_minutes,
  case
    when r.is_all_day then null
    when (r.start_time at time zone r.time_zone) <> r.start_local then 'does not exist'
    when booking.first_instant(r.start_local, r.time_zone) <> r.start_time then 'comes twice'
  end as start_oddity,
  case
    when r.is_all_day then null
    when (r.end_time at time zone r.time_zone) <> r.end_local then 'does not exist'
    when booking.first_instant(r.end_local, r.time_zone) <> r.end_time then 'comes twice'
  end as end_oddity
from timed r
left join booking.appointment_types t
  on t.tenant_id = %(tenant_id)s and t.id = r.appointment_type_id
order by r.line
