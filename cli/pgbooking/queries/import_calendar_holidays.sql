-- The days on which a person, or everyone, is away from a place, or from all, become what the file
-- says. Removed is what lies in the window, came from the same source as part of a calendar (its id
-- ends with whom and where) and is in it no more; what came of events that cannot be read now is
-- kept. What is as it should be is not touched.
with wanted as (
  select r.*
  from jsonb_to_recordset(%(rows)s) as r(
    external_id text, first_date date, last_date date, start_time time, end_time time, note text
  )
),
removed as (
  delete from booking.schedule_exceptions e
  where e.tenant_id = %(tenant_id)s and e.source = %(source)s
    and right(e.external_id, length(%(scope)s)) = %(scope)s
    and e.first_date <= %(last_date)s and e.last_date >= %(first_date)s
    and not exists (select from wanted w where w.external_id = e.external_id)
    and not exists (
      select from unnest(%(kept)s::text[]) as kept(uid)
      where starts_with(e.external_id, kept.uid || '/')
    )
  returning e.id
),
changed as (
  update booking.schedule_exceptions e
  set first_date = w.first_date, last_date = w.last_date, start_time = w.start_time,
    end_time = w.end_time, note = w.note
  from wanted w
  where e.tenant_id = %(tenant_id)s and e.source = %(source)s and e.external_id = w.external_id
    and (e.first_date, e.last_date, e.start_time, e.end_time, e.note)
      is distinct from (w.first_date, w.last_date, w.start_time, w.end_time, w.note)
  returning e.id
),
loaded as (
  insert into booking.schedule_exceptions (
    tenant_id, staff_id, location_id, first_date, last_date, kind, start_time, end_time, note,
    source, external_id
  )
  select
    %(tenant_id)s, %(staff_id)s, %(location_id)s, w.first_date, w.last_date, 'closed',
    w.start_time, w.end_time, w.note, %(source)s, w.external_id
  from wanted w
  where not exists (
    select from booking.schedule_exceptions e
    where e.tenant_id = %(tenant_id)s and e.source = %(source)s
      and e.external_id = w.external_id
  )
  order by w.first_date
  returning id
)
select
  (select count(*) from loaded) as loaded,
  (select count(*) from changed) as changed,
  (select count(*) from removed) as removed
