-- What new people offer.
insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
select distinct s.tenant_id, s.id, service.id
from jsonb_to_recordset(%(rows)s) as r(external_id text, appointment_type_ids uuid[])
join booking.staff s on s.tenant_id = %(tenant_id)s and s.external_id = r.external_id
cross join unnest(r.appointment_type_ids) as service(id)
order by 2, 3
