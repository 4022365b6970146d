-- The login roles that can run jobs.
select r.rolname::text
from pg_catalog.pg_roles r
where r.rolcanlogin and pg_has_role(r.oid, 'booking_owner', 'usage')
