-- What vacuum and analyze have left undone, by the server's statistics: nothing is counted.
with tables as (
  select t.*, format('%%I.%%I', t.schemaname, t.relname) as name,
    exists (
      select from pg_options_to_table(c.reloptions) o
      where o.option_name = 'autovacuum_enabled' and not o.option_value::boolean
    ) as is_left_out
  from pg_catalog.pg_stat_user_tables t
  join pg_catalog.pg_class c on c.oid = t.relid
  where t.schemaname in ('booking', 'booking_migrations')
)
select 'vacuum' as "check", 'warning' as level,
  format('%%s has about %%s dead rows beside %%s live ones.', t.name, t.n_dead_tup, t.n_live_tup)
    as message,
  format('vacuum (analyze) %%s;', t.name) as advice
from tables t
where t.n_dead_tup > 10000 and t.n_dead_tup > t.n_live_tup
union all
select 'vacuum', 'warning', format('%%s is left out by autovacuum.', t.name),
  format('alter table %%s reset (autovacuum_enabled);', t.name)
from tables t
where t.is_left_out
union all
select 'vacuum', 'warning',
  format('%%s has about %%s rows and was never analyzed: its queries are planned blindly.',
    t.name, t.n_live_tup),
  format('analyze %%s;', t.name)
from tables t
where t.n_live_tup > 10000 and coalesce(t.last_analyze, t.last_autoanalyze) is null
union all
select 'transaction_ids', case when a.age > 1500000000 then 'failure' else 'warning' end,
  format('The oldest transaction id in this database is %%s transactions old; at two thousand million '
    'PostgreSQL stops.', a.age),
  'vacuumdb --freeze --dbname="$DATABASE_URL"'
from (
  select greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) as age
  from pg_catalog.pg_database d
  where d.datname = current_database()
) a
where a.age > 600000000
union all
select 'unused_indexes', 'ok',
  format('%%s.%%s (%%s) was never used since the statistics began.',
    i.schemaname, i.indexrelname, pg_size_pretty(pg_relation_size(i.indexrelid))),
  null
from pg_catalog.pg_stat_user_indexes i
join pg_catalog.pg_index x on x.indexrelid = i.indexrelid and not x.indisunique and not x.indisexclusion
join tables t on t.relid = i.relid
where i.idx_scan = 0 and t.seq_scan + coalesce(t.idx_scan, 0) > 10000
  and pg_relation_size(i.indexrelid) > 100 * 1024 * 1024
