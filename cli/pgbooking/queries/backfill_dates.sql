-- The local dates that are published for any of the chosen calendars.
select
  min((booking.now() at time zone coalesce(l.timezone, t.timezone))::date) as first_date,
  max(c.materialized_until) as last_date
from booking.calendars c
join booking.tenants t on t.id = c.tenant_id
join booking.locations l on l.tenant_id = c.tenant_id
where c.tenant_id = any (%(tenant_ids)s)
  and (%(staff_id)s::uuid is null or c.staff_id = %(staff_id)s)
