insert into booking.staff (tenant_id, display_name, external_id)
values (%(tenant_id)s, %(value)s, %(value)s)
