-- A table of the old system: its name as SQL has it, its primary key, and whether this role may put
-- triggers on it. A relation that is no table has no triggers.
select
  c.oid::regclass::text as relation,
  c.relkind in ('r', 'p') as is_table,
  pg_has_role(current_user, c.relowner, 'usage') as is_ours,
  array(
    select a.attname::text
    from pg_catalog.pg_index i
    cross join lateral unnest(i.indkey) with ordinality as k(number, position)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
    where i.indrelid = c.oid and i.indisprimary
    order by k.position
  ) as primary_key
from pg_catalog.pg_class c
where c.oid = to_regclass(%(name)s)
