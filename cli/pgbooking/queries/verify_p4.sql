-- P4, nothing leaks, as far as the catalog can tell: row-level security stands on every table, anon
-- may read no column but those that the views it may read are made of and write none, and nothing is
-- executable by PUBLIC. The views say themselves which columns they need, so no list is kept here.
with tables as (
  select c.oid, c.relname
  from pg_catalog.pg_class c
  where c.relnamespace = 'booking'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
),
shown as (
  select d.refobjid as table_id, d.refobjsubid as column_number
  from pg_catalog.pg_class v
  join pg_catalog.pg_rewrite r on r.ev_class = v.oid
  join pg_catalog.pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
  where v.relnamespace = 'api'::regnamespace and v.relkind = 'v'
    and has_table_privilege('anon', v.oid, 'select')
    and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
),
findings as (
  select
    'missing' as kind, jsonb_build_object('table', 'booking.' || c.relname) as published,
    format('booking.%%I has no row-level security', c.relname) as reason
  from pg_catalog.pg_class c
  where c.relnamespace = 'booking'::regnamespace and c.relkind in ('r', 'p')
    and not c.relrowsecurity
  union all
  select
    'extra', jsonb_build_object('table', 'booking.' || t.relname, 'column', a.attname),
    format('anon may read booking.%%I.%%I, which no view that it may read shows', t.relname, a.attname)
  from tables t
  join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  where has_column_privilege('anon', t.oid, a.attnum, 'select')
    and not exists (
      select from shown s where s.table_id = t.oid and s.column_number = a.attnum
    )
  union all
  select
    'extra', jsonb_build_object('table', 'booking.' || t.relname),
    format('anon may write booking.%%I', t.relname)
  from tables t
  where has_table_privilege('anon', t.oid, 'delete, truncate, trigger')
    or has_any_column_privilege('anon', t.oid, 'insert, update, references')
  union all
  select
    'extra', jsonb_build_object('function', p.oid::regprocedure),
    format('%%s is executable by PUBLIC', p.oid::regprocedure)
  from pg_catalog.pg_proc p
  where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
    and has_function_privilege('public', p.oid, 'execute')
)
select
  f.kind, null::uuid as staff_id, null::uuid as slot_id, null::timestamptz as start_time,
  f.published, null::jsonb as expected, f.reason
from findings f
order by f.reason
