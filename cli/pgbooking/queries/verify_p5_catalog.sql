-- P5, tenants are sealed, in the catalog: every key of every table starts with tenant_id, so that no
-- row can point at another tenant's and no lock or index entry is shared. Exempt are the tables that
-- are the installation's own (design, section 3).
with tables as (
  select c.oid, c.relname
  from pg_catalog.pg_class c
  where c.relnamespace = 'booking'::regnamespace and c.relkind in ('r', 'p')
    and c.relname not in (
      'tenants', 'tenant_slugs', 'settings', 'jobs', 'job_runs', 'rate_limits'
    )
),
findings as (
  select
    'missing' as kind, jsonb_build_object('table', 'booking.' || t.relname) as published,
    format('booking.%%I has no primary key', t.relname) as reason
  from tables t
  where not exists (
    select from pg_catalog.pg_index i where i.indrelid = t.oid and i.indisprimary
  )
  union all
  select
    'wrong', jsonb_build_object('table', 'booking.' || t.relname, 'key', i.indexrelid::regclass),
    format('the key %%s of booking.%%I does not start with tenant_id', i.indexrelid::regclass, t.relname)
  from tables t
  join pg_catalog.pg_index i on i.indrelid = t.oid and (i.indisunique or i.indisexclusion)
  -- greatest() hides it from the planner in exclusion constraints.
  where pg_catalog.pg_get_indexdef(i.indexrelid, 1, false) not in (
    'tenant_id', 'GREATEST(tenant_id)'
  )
  union all
  select
    'wrong', jsonb_build_object('table', 'booking.' || t.relname, 'key', f.conname),
    case
      when f.convalidated
      then format('the foreign key %%I of booking.%%I does not start with tenant_id', f.conname, t.relname)
      else format('the foreign key %%I of booking.%%I is not validated', f.conname, t.relname)
    end
  from tables t
  join pg_catalog.pg_constraint f on f.conrelid = t.oid and f.contype = 'f'
  left join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = f.conkey[1]
  where a.attname is distinct from 'tenant_id' or not f.convalidated
)
select
  f.kind, null::uuid as staff_id, null::uuid as slot_id, null::timestamptz as start_time,
  f.published, null::jsonb as expected, f.reason
from findings f
order by f.reason
