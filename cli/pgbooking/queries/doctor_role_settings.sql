-- What "alter role … set" and "alter database … set" say where pgbooking's statements run.
with assigned as (
  select d.datname, r.rolname, split_part(c, '=', 1) as name,
    lower(substr(c, strpos(c, '=') + 1)) as value
  from pg_catalog.pg_db_role_setting s
  cross join lateral unnest(s.setconfig) as c
  left join pg_catalog.pg_database d on d.oid = s.setdatabase
  left join pg_catalog.pg_roles r on r.oid = s.setrole
  where (s.setdatabase = 0 or d.datname = current_database())
    and (
      s.setrole = 0
      or r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
      or pg_has_role(s.setrole, 'booking_owner', 'member')
    )
),
unwanted (name, bad, why) as (
  values
    ('booking.fake_now', null::text[], 'superusers'' sessions live in a time that stands still'),
    ('synchronous_commit', '{off,false,no,0}', 'a crash loses bookings that were acknowledged'),
    ('default_transaction_isolation', '{serializable,repeatable read}',
      'bookings that wait for each other end in errors'),
    ('default_transaction_read_only', '{on,true,yes,1}', 'nothing can be booked'),
    ('session_replication_role', '{replica}', 'triggers do not fire: nothing is published'),
    ('row_security', '{off,false,no,0}', 'reading under row-level security ends in errors')
)
select 'role_settings' as "check", 'failure' as level,
  format('%%s is %%s for %%s: %%s.', a.name, a.value,
    concat_ws(' in ', coalesce(a.rolname, 'everybody'), a.datname), u.why) as message,
  case
    when a.rolname is null and a.datname is not null
      then format('alter database %%I reset %%s;', a.datname, a.name)
    else concat('alter role ', coalesce(quote_ident(a.rolname), 'all'),
      ' in database ' || quote_ident(a.datname), ' reset ', a.name, ';')
  end as advice
from assigned a
join unwanted u on u.name = a.name and (u.bad is null or a.value = any (u.bad))
where a.value <> ''
order by 3
