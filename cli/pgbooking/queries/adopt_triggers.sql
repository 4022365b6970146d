-- Every trigger of the adoption, on the old tables and on pgbooking's.
select
  t.tgname::text as name, t.tgrelid::regclass::text as relation,
  format('drop trigger %%I on %%s', t.tgname, t.tgrelid::regclass) as statement
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid
where p.pronamespace = to_regnamespace('booking_adoption') and not t.tgisinternal
order by 1
