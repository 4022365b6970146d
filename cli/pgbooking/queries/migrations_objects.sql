-- Which of these schemas, tables, views, types and routines exist. %(names)s: text[], of names
-- such as booking or booking.staff.
select n.nspname::text as name
from pg_catalog.pg_namespace as n
where n.nspname = any (%(names)s)
union
select n.nspname || '.' || o.name
from pg_catalog.pg_namespace as n
join (
  select relnamespace, relname from pg_catalog.pg_class
  union all
  select typnamespace, typname from pg_catalog.pg_type
  union all
  select pronamespace, proname from pg_catalog.pg_proc
) as o (namespace, name) on o.namespace = n.oid
where n.nspname || '.' || o.name = any (%(names)s)
