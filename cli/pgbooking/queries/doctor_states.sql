-- What is defined as it should be and yet does not work: triggers that are disabled, indexes that
-- are not valid, constraints that were never validated. The triggers of foreign keys, too.
with relations as (
  select c.oid, n.nspname, format('%%I.%%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('api', 'booking')
)
select 'triggers' as "check", 'failure' as level,
  case
    when t.tgisinternal
      then format('On %%s the foreign key %%s is not kept: its triggers are disabled.', r.name, c.conname)
    else format('On %%s the trigger %%s does not fire: it is disabled.', r.name, t.tgname)
  end as message,
  case
    when t.tgisinternal then format('alter table %%s enable trigger all;', r.name)
    else format('alter table %%s enable trigger %%I;', r.name, t.tgname)
  end as advice
from relations r
join pg_catalog.pg_trigger t on t.tgrelid = r.oid
left join pg_catalog.pg_constraint c on c.oid = t.tgconstraint
where t.tgenabled not in ('O', 'A')
union
select 'indexes', 'failure',
  format('The index %%I.%%I is not valid: building it was interrupted or failed.', r.nspname, i.relname),
  case
    when i.relname ~ '_cc(new|old)\d*$' then format('drop index concurrently %%I.%%I;', r.nspname, i.relname)
    else format('reindex index concurrently %%I.%%I;', r.nspname, i.relname)
  end
from relations r
join pg_catalog.pg_index x on x.indrelid = r.oid
join pg_catalog.pg_class i on i.oid = x.indexrelid
where not x.indisvalid
union
select 'constraints', 'failure',
  format('On %%s the constraint %%s was never validated: older rows may break it.', r.name, c.conname),
  format('alter table %%s validate constraint %%I;', r.name, c.conname)
from relations r
join pg_catalog.pg_constraint c on c.conrelid = r.oid
where not c.convalidated
order by 1, 3
