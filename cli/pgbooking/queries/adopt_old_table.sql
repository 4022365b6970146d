-- A table of the old system: its name as SQL has it, its primary key, whether this role may put
-- triggers on it, and its owner where that is another than the superuser who asks. A relation that is
-- no table has no triggers; rows that row-level security hides even from its owner cannot be followed;
-- what is written to parts of a table directly does not fire its triggers.
select
  c.oid::regclass::text as relation,
  c.relkind in ('r', 'p') as is_table,
  pg_has_role(current_user, c.relowner, 'usage') as is_ours,
  c.relforcerowsecurity and not (r.rolsuper or r.rolbypassrls) as hides_rows,
  exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid) as has_parts,
  case when r.rolsuper and c.relowner <> r.oid then pg_get_userbyid(c.relowner)::text end
    as other_owner,
  array(
    select a.attname::text
    from pg_catalog.pg_index i
    cross join lateral unnest(i.indkey) with ordinality as k(number, position)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
    where i.indrelid = c.oid and i.indisprimary
    order by k.position
  ) as primary_key
from pg_catalog.pg_class c
join pg_catalog.pg_roles r on r.rolname = current_user
where c.oid = to_regclass(%(name)s)
