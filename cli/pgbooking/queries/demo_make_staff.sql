insert into booking.staff (
  tenant_id, id, display_name, max_appointments_per_day, compact_schedule
)
values (
  %(tenant_id)s, %(staff_id)s, %(display_name)s, %(max_appointments_per_day)s, true
)
