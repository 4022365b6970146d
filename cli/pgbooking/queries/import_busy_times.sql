-- New busy times, in the order in which calendars are locked.
insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source, external_id)
select %(tenant_id)s, r.staff_id, r.start_time, r.end_time, %(source)s, r.external_id
from jsonb_to_recordset(%(rows)s) as r(
  line integer, external_id text, staff_id uuid, start_time timestamptz, end_time timestamptz
)
where not exists (
  select from booking.busy_times b
  where b.tenant_id = %(tenant_id)s and b.source = %(source)s and b.external_id = r.external_id
)
order by r.staff_id, r.start_time, r.line
on conflict (tenant_id, source, external_id) do nothing
returning external_id
