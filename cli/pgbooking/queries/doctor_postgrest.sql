-- PostgREST's configuration in the database: settings of its login role that begin with "pgrst.".
-- Those for this database win over those for all.
select distinct on (split_part(c, '=', 1)) replace(split_part(substr(c, 7), '=', 1), '_', '-') as name,
  substr(c, strpos(c, '=') + 1) as value,
  concat('alter role authenticator ', 'in database ' || quote_ident(d.datname) || ' ') as target
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_roles r on r.oid = s.setrole and r.rolname = 'authenticator'
cross join lateral unnest(s.setconfig) as c
left join pg_catalog.pg_database d on d.oid = s.setdatabase
where c like 'pgrst.%%' and (s.setdatabase = 0 or d.datname = current_database())
order by split_part(c, '=', 1), s.setdatabase desc
