-- Weekly hours, for the tenant's staff and admins. The name comes by scalar subquery, so that the
-- view stays writable; who sees and writes what, the policies say.
create or replace view api.working_hours with (security_invoker = true) as
select
  h.id, h.tenant_id, h.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = h.tenant_id and s.id = h.staff_id
  ) as staff_name,
  h.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = h.tenant_id and l.id = h.location_id
  ) as location_name,
  h.weekday, h.start_time, h.end_time, h.valid_from, h.valid_until, h.created_at, h.updated_at
from booking.working_hours h;

comment on view api.working_hours is
  'Weekly working hours
For a tenant''s staff and admins; staff write their own, admins everyone''s. weekday is 1 (Monday)
to 7; times are local to the place, end_time up to 24:00, or over midnight; both validity dates are
inclusive, null is unbounded. set_working_hours replaces a whole week.';
