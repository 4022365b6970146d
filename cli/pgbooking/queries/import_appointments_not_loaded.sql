-- Of rows that were left out: whether they were there already and, if not, which live appointment
-- takes their time (its external id only if it has come from the same source).
select
  r.external_id,
  exists (
    select from booking.appointments a
    where a.tenant_id = %(tenant_id)s and a.source = %(source)s and a.external_id = r.external_id
  ) as is_there,
  case when o.source = %(source)s then o.external_id end as overlapped_id,
  o.start_time as overlapped_start, o.end_time as overlapped_end
from jsonb_to_recordset(%(rows)s) as r(
  line integer, external_id text, staff_id uuid, start_time timestamptz, end_time timestamptz,
  buffer_before_minutes integer, buffer_after_minutes integer
)
left join lateral (
  select a.*
  from booking.appointments a
  where a.tenant_id = %(tenant_id)s and a.staff_id = r.staff_id and a.status <> 'cancelled'
    and a.claim && booking.claim_of(
      r.start_time, r.end_time, r.buffer_before_minutes, r.buffer_after_minutes
    )
  order by a.start_time
  limit 1
) as o on true
order by r.line
