-- New weekly hours, in the order in which calendars are locked.
insert into booking.working_hours (
  tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until,
  external_id
)
select
  %(tenant_id)s, r.staff_id, r.location_id, r.weekday, r.start_time, r.end_time, r.valid_from,
  r.valid_until, r.external_id
from jsonb_to_recordset(%(rows)s) as r(
  line integer, external_id text, staff_id uuid, location_id uuid, weekday integer,
  start_time time, end_time time, valid_from date, valid_until date
)
where not exists (
  select from booking.working_hours h
  where h.tenant_id = %(tenant_id)s and h.external_id = r.external_id
)
order by r.staff_id, r.line
on conflict (tenant_id, external_id) do nothing
returning external_id
