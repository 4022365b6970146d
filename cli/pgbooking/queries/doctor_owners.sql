-- Schemas, and relations, functions and types in them, that are not booking_owner's. The function of
-- `pgbooking sql --supabase --realtime` belongs to whoever pushed it.
with schemas as (
  select n.oid, n.nspname, n.nspowner
  from pg_catalog.pg_namespace n
  where n.nspname in ('api', 'booking')
),
objects as (
  select 'schema' as kind, quote_ident(s.nspname) as object, s.nspowner as owner
  from schemas s
  union all
  select
    case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
      when 'f' then 'foreign table' else 'table' end,
    format('%%I.%%I', s.nspname, c.relname), c.relowner
  from schemas s
  join pg_catalog.pg_class c on c.relnamespace = s.oid and c.relkind in ('r', 'p', 'v', 'm', 'f')
  union all
  select 'routine',
    format('%%I.%%I(%%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    p.proowner
  from schemas s
  join pg_catalog.pg_proc p on p.pronamespace = s.oid
  union all
  select 'type', format('%%I.%%I', s.nspname, t.typname), t.typowner
  from schemas s
  join pg_catalog.pg_type t on t.typnamespace = s.oid and t.typtype in ('d', 'e', 'r')
)
select 'owners' as "check", 'failure' as level,
  format('The %%s %%s belongs to %%s, not to booking_owner.',
    o.kind, o.object, pg_get_userbyid(o.owner)) as message,
  format('alter %%s %%s owner to booking_owner;', o.kind, o.object) as advice
from objects o
where pg_get_userbyid(o.owner) <> 'booking_owner' and o.object <> 'booking.broadcast_revision()'
order by o.kind, o.object
