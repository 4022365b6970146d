-- The privilege matrix: who may do what with each object of "booking" and "api", and what decides
-- beside grants. booking_owner, who owns everything, is left out; whoever else holds a right is
-- listed. An object that nobody has a right to has one line of "(nobody)", so that each object
-- has a line.
--
-- what: of a grant on a relation, the columns, or "(all)"; of a function, as whom it runs.
-- Names are qualified where search_path does not say so: run it with an empty one.
with schemas as (
  select n.oid, n.nspname, n.nspacl, n.nspowner
  from pg_catalog.pg_namespace n
  where n.nspname in ('api', 'booking')
),
relations as (
  select c.oid, c.relacl, c.relowner, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
    c.reloptions,
    case c.relkind
      when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
      when 'f' then 'foreign table' else 'table'
    end as kind,
    format('%%I.%%I', s.nspname, c.relname) as object
  from schemas s
  join pg_catalog.pg_class c on c.relnamespace = s.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
),
-- Every object with its access list, and of whom it is when nothing else is said.
objects as (
  select 'schema' as kind, quote_ident(s.nspname) as object,
    coalesce(s.nspacl, acldefault('n', s.nspowner)) as acl, '' as what
  from schemas s
  union all
  select r.kind, r.object,
    coalesce(r.relacl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner)),
    case when r.relkind <> 'S' then '(all)' else '' end
  from relations r
  union all
  select
    case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
    format('%%I.%%I(%%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    coalesce(p.proacl, acldefault('f', p.proowner)),
    case when p.prosecdef then 'security definer' else 'security invoker' end
  from schemas s
  join pg_catalog.pg_proc p on p.pronamespace = s.oid
  union all
  -- Rows and arrays of tables follow their table.
  select 'type', format('%%I.%%I', s.nspname, t.typname),
    coalesce(t.typacl, acldefault('T', t.typowner)), ''
  from schemas s
  join pg_catalog.pg_type t on t.typnamespace = s.oid
  left join pg_catalog.pg_class c on c.oid = t.typrelid
  where t.typtype <> 'm' and t.typelem = 0 and coalesce(c.relkind, 'c') = 'c'
  union all
  select 'default privileges', 'new ' || d.name || ' of booking_owner',
    coalesce(a.defaclacl, acldefault(d.kind, o.oid)), ''
  from pg_catalog.pg_roles o
  cross join (
    values ('n'::"char", 'n'::"char", 'schemas'), ('r', 'r', 'tables'), ('s', 'S', 'sequences'),
      ('f', 'f', 'functions'), ('T', 'T', 'types')
  ) as d(kind, default_kind, name)
  left join pg_catalog.pg_default_acl a
    on a.defaclrole = o.oid and a.defaclobjtype = d.default_kind and a.defaclnamespace = 0
  where o.rolname = 'booking_owner'
  union all
  select 'default privileges',
    format('new objects (%%s) of %%I in %%I', a.defaclobjtype, o.rolname, s.nspname), a.defaclacl, ''
  from schemas s
  join pg_catalog.pg_default_acl a on a.defaclnamespace = s.oid
  join pg_catalog.pg_roles o on o.oid = a.defaclrole
),
granted as (
  select o.kind, o.object, x.grantee, x.is_grantable, lower(x.privilege_type) as action, o.what
  from objects o
  cross join lateral aclexplode(o.acl) x
  union all
  select r.kind, r.object, x.grantee, x.is_grantable, lower(x.privilege_type),
    string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  from relations r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid and not a.attisdropped
  cross join lateral aclexplode(a.attacl) x
  group by r.kind, r.object, x.grantee, x.is_grantable, x.privilege_type
),
grants as (
  select g.kind, g.object, coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC') as role,
    g.action || case when g.is_grantable then ' with grant option' else '' end as action, g.what
  from granted g
  left join pg_catalog.pg_roles r on r.oid = g.grantee
  where r.rolname is distinct from 'booking_owner'
),
lines as (
  select g.kind, g.object, g.role, g.action, g.what
  from grants g
  union all
  select o.kind, o.object, '(nobody)', '', nullif(o.what, '(all)')
  from objects o
  -- Supabase's role may be missing: what it alone has a right to, nobody has elsewhere.
  where not exists (
    select from grants g
    where g.kind = o.kind and g.object = o.object and g.role <> 'supabase_auth_admin'
  )
  union all
  select r.kind, r.object, '', 'columns', (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    from pg_catalog.pg_attribute a
    where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  )
  from relations r
  where r.relkind <> 'S'
  union all
  select r.kind, r.object, '', 'row-level security', case
    when r.relforcerowsecurity then 'forced' when r.relrowsecurity then 'on' else 'off'
  end
  from relations r
  where r.relkind in ('r', 'p')
  union all
  select r.kind, r.object, '', 'security_invoker', coalesce((
    select case when o.option_value::boolean then 'on' else 'off' end
    from pg_options_to_table(r.reloptions) o
    where o.option_name = 'security_invoker'
  ), 'off')
  from relations r
  where r.relkind = 'v'
  union all
  select 'policy', format('%%s: %%I', r.object, p.polname),
    (
      select string_agg(coalesce(quote_ident(o.rolname), 'PUBLIC'), ', ' order by o.rolname)
      from unnest(p.polroles) as t(id)
      left join pg_catalog.pg_roles o on o.oid = t.id
    ),
    case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
      else 'all'
    end,
    concat_ws(
      ' ',
      case when not p.polpermissive then 'restrictive' end,
      'using ' || regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\s+', ' ', 'g'),
      'with check ' || regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), '\s+', ' ', 'g')
    )
  from relations r
  join pg_catalog.pg_policy p on p.polrelid = r.oid
  union all
  -- Whose rights our roles have beside their own.
  select 'role', quote_ident(m.rolname), quote_ident(m.rolname), 'member of', coalesce((
    select string_agg(distinct quote_ident(o.rolname) collate "C", ', ')
    from pg_catalog.pg_auth_members a
    join pg_catalog.pg_roles o on o.oid = a.roleid
    where a.member = m.oid and (
      o.rolname in ('booking_owner', 'anon', 'authenticated', 'service_role', 'authenticator')
      or o.rolname like 'pg\_%%'
    )
  ), '(nobody)')
  from pg_catalog.pg_roles m
  where m.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
)
select l.kind, l.object, l.role, l.action, coalesce(l.what, '') as what
from lines l
order by l.kind collate "C", l.object collate "C", l.role collate "C", l.action collate "C",
  l.what collate "C"
