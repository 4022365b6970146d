-- The five roles. Whose member each is stands in privileges.csv. service_role may bypass row-level
-- security, as it does on Supabase.
with wanted (name, attributes) as (
  values ('booking_owner', 'nologin'), ('anon', 'nologin'), ('authenticated', 'nologin'),
    ('service_role', 'nologin'), ('authenticator', 'login noinherit')
),
faults as (
  select w.name, 'does not exist' as fault, format('create role %%I %%s;', w.name, w.attributes) as advice
  from wanted w
  where to_regrole(w.name) is null
  union all
  select r.rolname, f.fault, format('alter role %%I %%s;', r.rolname, f.attribute)
  from pg_catalog.pg_roles r
  join wanted w on w.name = r.rolname
  cross join lateral (
    values (r.rolsuper, 'is a superuser', 'nosuperuser'),
      (r.rolcanlogin and w.attributes = 'nologin', 'can log in', 'nologin'),
      (r.rolbypassrls and w.name in ('anon', 'authenticated', 'authenticator'),
        'bypasses row-level security', 'nobypassrls'),
      (r.rolinherit and w.name = 'authenticator',
        'has the rights of each role that it may become (INHERIT)', 'noinherit')
  ) as f(is_so, fault, attribute)
  where f.is_so
  union all
  -- Since 16 each grant says by itself whether it inherits.
  select 'authenticator', format('has the rights of %%s without becoming it', g.rolname),
    format('grant %%I to authenticator with inherit false granted by %%s;',
      g.rolname, a.grantor::regrole)
  from pg_catalog.pg_auth_members a
  join pg_catalog.pg_roles m on m.oid = a.member and m.rolname = 'authenticator'
  join pg_catalog.pg_roles g on g.oid = a.roleid
    and g.rolname in ('anon', 'authenticated', 'service_role')
  where (to_jsonb(a) ->> 'inherit_option')::boolean
)
select 'roles' as "check", 'failure' as level, format('The role %%s %%s.', f.name, f.fault) as message,
  f.advice
from faults f
order by f.name
