insert into booking.locations (tenant_id, name, external_id)
values (%(tenant_id)s, %(value)s, %(value)s)
returning id
