-- The session in which `pgbooking scheduler` leads, if one does.
select l.pid
from pg_catalog.pg_locks l
join pg_catalog.pg_database d on d.oid = l.database and d.datname = pg_catalog.current_database()
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.classid = pg_catalog.hashtext('booking.jobs')::oid and l.objid = 0::oid
