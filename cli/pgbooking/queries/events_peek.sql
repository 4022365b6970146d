-- The unprocessed events after this one (null: from the oldest), as events_take would print them, and
-- without taking them from anybody.
select
  e.tenant_id, e.id, e.created_at,
  json_build_object(
    'tenant_id', e.tenant_id, 'id', e.id, 'kind', e.kind, 'appointment_id', e.appointment_id,
    'created_at', booking.iso_time(e.created_at), 'payload', e.payload, 'customer', a.customer
  )::text as line
from booking.events e
join booking.appointments a on a.tenant_id = e.tenant_id and a.id = e.appointment_id
where e.processed_at is null
  and (%(tenant_id)s::uuid is null or e.tenant_id = %(tenant_id)s)
  and (e.created_at, e.id) > (
    coalesce(%(after_created_at)s::timestamptz, '-infinity'),
    coalesce(%(after_id)s::uuid, '00000000-0000-0000-0000-000000000000')
  )
order by e.created_at, e.id
limit %(limit)s
