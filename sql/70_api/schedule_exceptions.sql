-- Dates that differ, for the tenant's staff and admins. See working_hours.
create or replace view api.schedule_exceptions with (security_invoker = true) as
select
  e.id, e.tenant_id, e.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = e.tenant_id and s.id = e.staff_id
  ) as staff_name,
  e.location_id,
  (
    select l.name from booking.locations l where l.tenant_id = e.tenant_id and l.id = e.location_id
  ) as location_name,
  e.first_date, e.last_date, e.kind, e.start_time, e.end_time, e.note, e.created_at, e.updated_at
from booking.schedule_exceptions e;

comment on view api.schedule_exceptions is
  'Holidays and other dates that differ
For a tenant''s staff and admins; staff write their own, admins everyone''s and those for all. Dates
are local and inclusive; kind "open" replaces the weekly hours of those dates, "closed" is taken
away; null times are the whole day, staff_id null is everyone, location_id null everywhere.';
