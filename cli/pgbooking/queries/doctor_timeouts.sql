-- How long a request may take. PostgREST sets what "alter role … set" says of the role that a caller
-- becomes (not of that role in one database), over what its own login role has. Longer than the
-- booking functions wait for a calendar, or their answer "busy" comes too late.
with assigned as (
  select s.setdatabase, r.rolname, substr(c, strpos(c, '=') + 1) as value
  from pg_catalog.pg_db_role_setting s
  join pg_catalog.pg_roles r on r.oid = s.setrole
  cross join lateral unnest(s.setconfig) as c
  where split_part(c, '=', 1) = 'statement_timeout'
    and s.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
),
timeouts as (
  select caller.name,
    (
      select case when v.value ~ '^\d+$' then v.value || 'ms' else v.value end::interval
      from (
        select 1 as place, a.value from assigned a
        where a.rolname = caller.name and a.setdatabase = 0
        union all
        select case a.setdatabase when 0 then 3 else 2 end, a.value from assigned a
        where a.rolname = 'authenticator'
        union all
        select 4, s.setting from pg_catalog.pg_settings s
        where s.name = 'statement_timeout' and s.source in ('configuration file', 'command line')
      ) v
      order by v.place
      limit 1
    ) as timeout
  from unnest(array['anon', 'authenticated']) as caller(name)
),
waiting as (
  select max(substr(c, length('lock_timeout=') + 1)::interval) as longest
  from pg_catalog.pg_proc p
  cross join lateral unnest(p.proconfig) as c
  where p.pronamespace = to_regnamespace('booking') and c like 'lock\_timeout=%%'
)
select 'timeouts' as "check", 'warning' as level,
  case
    when coalesce(t.timeout, '0') = '0' then format('A request as %%s may take for ever.', t.name)
    else format('A request as %%s is cut off after %%s, and booking waits for up to %%s.',
      t.name, t.timeout, w.longest)
  end as message,
  format('alter role %%I set statement_timeout = %%L;', t.name,
    case t.name when 'anon' then '3s' else '8s' end) as advice
from timeouts t
cross join waiting w
where coalesce(t.timeout, '0') <= coalesce(w.longest, '0')
