-- What a mailer gets to know of one appointment.
select e.kind
from booking.events e
where e.tenant_id = %(tenant_id)s and e.appointment_id = %(appointment_id)s
order by e.created_at
