-- Who is calling: the token's claims, as PostgREST sets them, and nothing else. A setting that was
-- never set reads as null, one that was set in an earlier transaction as ''. No locks. Every call
-- asks these several times, and PL/pgSQL keeps its plans where a pinned SQL function plans anew.
create or replace function booking.caller_claims() returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
end
$$;

comment on function booking.caller_claims() is 'The claims of the caller''s token, or null.';

create or replace function booking.caller_role() returns text
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return booking.caller_claims() ->> 'role';
end
$$;

comment on function booking.caller_role() is 'The role that the caller''s token names, or null.';

-- Users are UUIDs; whoever has another subject is nobody here.
create or replace function booking.caller_id() returns uuid
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_subject text := booking.caller_claims() ->> 'sub';
begin
  return case
    when v_subject ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then v_subject::uuid
  end;
end
$$;

comment on function booking.caller_id() is 'The signed-in caller: the sub of their token, or null.';

-- What is no object is no membership; whoever makes tokens may have put anything there.
create or replace function booking.caller_memberships()
returns table (tenant_id text, membership jsonb)
language sql stable parallel safe
set search_path = ''
as $$
  select m.key, m.value
  from booking.caller_claims() as c(claims)
  cross join jsonb_each(case jsonb_typeof(c.claims #> '{app_metadata,tenants}')
    when 'object' then c.claims #> '{app_metadata,tenants}'
  end) as m
$$;

comment on function booking.caller_memberships() is
  'The memberships that the caller''s token claims: tenant id and {"role", "staff_id"}, unchecked.';

-- The tenants whose calendars the token's bearer may see (p_role null) or, as "admin" or "staff",
-- write; and the people whom staff are, in whichever tenant. Policies ask them once per query.
create or replace function booking.member_tenant_ids(p_role text default null) returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select m.key::uuid
    from booking.caller_memberships() as m(key, membership)
    where m.key ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
      and m.membership ->> 'role' in ('admin', 'staff')
      and (p_role is null or m.membership ->> 'role' = p_role)
  )
$$;

comment on function booking.member_tenant_ids(text) is
  'The tenants of which the caller''s token says that they are "admin" or "staff" (null: either).';

create or replace function booking.member_staff_ids() returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select (m.membership ->> 'staff_id')::uuid
    from booking.caller_memberships() as m(key, membership)
    where m.membership ->> 'role' = 'staff' and m.membership ->> 'staff_id'
      ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
  )
$$;

comment on function booking.member_staff_ids() is
  'The staff_ids that the caller''s token names, in any tenant.';

-- Whether the token's bearer sees this tenant's calendars: its staff and admins, and the service.
create or replace function booking.caller_is_member(p_tenant_id uuid) returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.caller_claims();
begin
  return coalesce(
    v_claims ->> 'role' = 'service_role'
    or v_claims #>> array['app_metadata', 'tenants', p_tenant_id::text, 'role']
      in ('admin', 'staff'),
    false
  );
end
$$;

comment on function booking.caller_is_member(uuid) is
  'True if the caller''s token is the service''s, or one of the tenant''s staff or admins.';

-- Whether the token lets its bearer write this calendar (staff their own, admins and the service
-- every one; p_staff_id null means something that concerns the whole tenant).
create or replace function booking.caller_may_write(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.caller_claims();
  v_membership jsonb := v_claims #> array['app_metadata', 'tenants', p_tenant_id::text];
begin
  return coalesce(
    v_claims ->> 'role' = 'service_role'
    or v_membership ->> 'role' = 'admin'
    or (v_membership ->> 'role' = 'staff' and v_membership ->> 'staff_id' = p_staff_id::text),
    false
  );
end
$$;

comment on function booking.caller_may_write(uuid, uuid) is
  'True if the caller''s token is an admin''s of the tenant, the service''s, or that person''s
own.';
