insert into booking.appointment_types (tenant_id, code, name, duration_minutes)
values (%(tenant_id)s, %(value)s, %(value)s, %(duration_minutes)s)
