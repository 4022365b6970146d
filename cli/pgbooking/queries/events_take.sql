-- Takes the oldest events that no other consumer has, each as a line of JSON. PostgreSQL writes the
-- line: what customers send may be nested deeper and have longer numbers than Python reads.
select
  e.tenant_id, e.id,
  json_build_object(
    'tenant_id', e.tenant_id, 'id', e.id, 'kind', e.kind, 'appointment_id', e.appointment_id,
    'created_at', booking.iso_time(e.created_at), 'payload', e.payload, 'customer', e.customer
  )::text as line
from booking.take_events(%(limit)s, %(tenant_id)s) e
