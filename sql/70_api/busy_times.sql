-- Time taken by anything else, for the tenant's staff and admins. See working_hours.
create or replace view api.busy_times with (security_invoker = true) as
select
  b.id, b.tenant_id, b.staff_id,
  (
    select s.display_name from booking.staff s where s.tenant_id = b.tenant_id and s.id = b.staff_id
  ) as staff_name,
  b.start_time, b.end_time, b.source, b.external_id, b.created_at, b.updated_at
from booking.busy_times b;

comment on view api.busy_times is
  'Time taken by anything outside
For a tenant''s staff and admins; staff write their own, admins everyone''s. Times are instants,
half open, and may overlap; source and external_id make imports repeatable.';
