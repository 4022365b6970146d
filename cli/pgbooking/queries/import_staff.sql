-- New people. One of the same external id, or without one of the same name, is there already.
insert into booking.staff (tenant_id, display_name, external_id)
select %(tenant_id)s, r.name, r.external_id
from jsonb_to_recordset(%(rows)s) as r(line integer, external_id text, name text)
where not exists (
  select from booking.staff s
  where s.tenant_id = %(tenant_id)s
    and (s.external_id = r.external_id or (s.external_id is null and s.display_name = r.name))
)
order by r.line
on conflict (tenant_id, external_id) do nothing
returning external_id
