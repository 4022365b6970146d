-- Roles, schemas and the one extension. Runs as the migrating role, which needs CREATEROLE and
-- CREATE on the database, and no superuser; every later migration runs as booking_owner.
-- Roles belong to the cluster: made where they are missing, never altered, never dropped.

do $$
declare
  v_role text;
begin
  foreach v_role in array array['booking_owner', 'anon', 'authenticated', 'service_role'] loop
    if to_regrole(v_role) is null then
      execute format('create role %I nologin', v_role);
    end if;
  end loop;
  if to_regrole('authenticator') is null then
    -- PostgREST's login. Give it a password before use: alter role authenticator password '…'.
    create role authenticator login noinherit;
    grant anon, authenticated, service_role to authenticator;
  end if;
  -- On 16 and later CREATEROLE alone does not let its holder act as the roles it made.
  if not pg_has_role(
    current_user, 'booking_owner',
    case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end
  ) then
    execute format('grant booking_owner to %I', current_user);
  end if;
end
$$;

do $$
declare
  v_schema text;
  v_owner text;
begin
  foreach v_schema in array array['booking', 'api'] loop
    select pg_get_userbyid(nspowner) into v_owner from pg_namespace where nspname = v_schema;
    if v_owner is not null then
      raise exception using
        errcode = 'duplicate_schema',
        message = format('schema "%s" exists already and belongs to "%s"', v_schema, v_owner),
        detail = 'pgbooking keeps its tables in "booking" and its public surface in "api".',
        hint = 'Rename or drop that schema, or migrate another database.';
    end if;
    execute format('create schema %I authorization booking_owner', v_schema);
  end loop;
end
$$;

comment on schema booking is
  'pgbooking: tables, calculator, triggers and workers. Nobody enters but through "api".';

comment on schema api is
  'pgbooking: the public surface, the only schema that PostgREST exposes.';

-- Exclusion constraints compare ids and ranges in one index. Supabase keeps extensions apart.
do $$
begin
  if not exists (select from pg_extension where extname = 'btree_gist') then
    execute format(
      'create extension btree_gist with schema %I',
      case when to_regnamespace('extensions') is null then 'public' else 'extensions' end
    );
    comment on extension btree_gist is 'installed by pgbooking';
  end if;
end
$$;

-- Only without IN SCHEMA, and before the first function, does this reach every function.
set local role booking_owner;

alter default privileges for role booking_owner revoke execute on functions from public;
