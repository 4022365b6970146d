-- Who offers what, by external id or name, in the order in which calendars are locked.
insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
select distinct s.tenant_id, s.id, t.id
from unnest(%(staff)s::text[], %(services)s::text[]) as pair(staff, service)
join booking.staff s
  on s.tenant_id = %(tenant_id)s and coalesce(s.external_id, s.display_name) = pair.staff
join booking.appointment_types t on t.tenant_id = %(tenant_id)s and t.code = pair.service
order by 2, 3
on conflict (tenant_id, staff_id, appointment_type_id) do nothing
