-- Who leads calendars that are new from now on.
update booking_adoption.tenants t
set is_switched = %(is_switched)s
where t.tenant_id = any (%(tenant_ids)s) and t.is_switched <> %(is_switched)s
