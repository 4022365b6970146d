-- Breaks, for the tenant's staff and admins. See working_hours.
create or replace view api.breaks with (security_invoker = true) as
select
  b.id, b.tenant_id, b.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = b.tenant_id and s.id = b.staff_id
  ) as staff_name,
  b.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = b.tenant_id and l.id = b.location_id
  ) as location_name,
  b.weekday, b.start_time, b.end_time, b.valid_from, b.valid_until, b.created_at, b.updated_at
from booking.breaks b;

comment on view api.breaks is
  'Breaks, taken out of working hours
For a tenant''s staff and admins; staff write their own, admins everyone''s and those for all.
staff_id null is everyone, location_id null everywhere, weekday null every day; times are local to
the place, both validity dates inclusive.';
