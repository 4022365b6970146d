-- A person's live appointments that touch the window.
select
  a.id, a.start_time, a.end_time, a.status, t.name as service, l.name as location, a.created_at,
  a.updated_at, a.customer, a.notes
from booking.appointments a
join booking.appointment_types t on t.tenant_id = a.tenant_id and t.id = a.appointment_type_id
join booking.locations l on l.tenant_id = a.tenant_id and l.id = a.location_id
where a.tenant_id = %(tenant_id)s and a.staff_id = %(staff_id)s and a.status <> 'cancelled'
  and a.start_time < %(window_end)s and a.end_time > %(window_start)s
order by a.start_time, a.id
