insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time, customer
)
values (
  %(tenant_id)s, %(staff_id)s, %(location_id)s, %(appointment_type_id)s, %(start_time)s,
  %(end_time)s, '{"name": "Ada Example"}'
)
returning id
