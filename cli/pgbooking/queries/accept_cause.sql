-- From now on differences with this cause are accepted as they are found.
insert into booking.accepted_causes (tenant_id, cause)
values (%(tenant_id)s, %(cause)s)
on conflict do nothing
