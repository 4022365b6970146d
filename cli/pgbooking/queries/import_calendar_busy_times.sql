-- A person's busy times become what the file says. Removed is what lies in the window, came from the
-- same source as part of a calendar (its id ends with the person's) and is in it no more; what came
-- of events that cannot be read now is kept. What is as it should be is not touched.
with wanted as (
  select r.external_id, r.start_time, r.end_time
  from jsonb_to_recordset(%(rows)s) as r(
    external_id text, start_time timestamptz, end_time timestamptz
  )
),
removed as (
  delete from booking.busy_times b
  where b.tenant_id = %(tenant_id)s and b.source = %(source)s and b.staff_id = %(staff_id)s
    and right(b.external_id, length(%(scope)s)) = %(scope)s
    and b.start_time < %(window_end)s and b.end_time > %(window_start)s
    and not exists (select from wanted w where w.external_id = b.external_id)
    and not exists (
      select from unnest(%(kept)s::text[]) as kept(uid)
      where starts_with(b.external_id, kept.uid || '/')
    )
  returning b.id
),
changed as (
  update booking.busy_times b
  set start_time = w.start_time, end_time = w.end_time
  from wanted w
  where b.tenant_id = %(tenant_id)s and b.source = %(source)s and b.external_id = w.external_id
    and (b.start_time, b.end_time) is distinct from (w.start_time, w.end_time)
  returning b.id
),
loaded as (
  insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source, external_id)
  select %(tenant_id)s, %(staff_id)s, w.start_time, w.end_time, %(source)s, w.external_id
  from wanted w
  where not exists (
    select from booking.busy_times b
    where b.tenant_id = %(tenant_id)s and b.source = %(source)s and b.external_id = w.external_id
  )
  order by w.start_time
  returning id
)
select
  (select count(*) from loaded) as loaded,
  (select count(*) from changed) as changed,
  (select count(*) from removed) as removed
