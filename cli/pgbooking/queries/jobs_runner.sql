-- Who runs the jobs: the login role of this session, and whether it may.
select session_user::text as name, r.rolcanlogin as can_login,
  pg_catalog.pg_has_role(session_user, o.oid, 'usage') as is_member,
  pg_catalog.current_database()::text as database,
  (select c.system_identifier from pg_catalog.pg_control_system() c) as cluster
from pg_catalog.pg_roles r
join pg_catalog.pg_roles o on o.rolname = 'booking_owner'
where r.rolname = session_user
