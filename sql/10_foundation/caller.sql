-- Who is calling: the token's claims, as PostgREST sets them, and nothing else. A setting that was
-- never set reads as null, one that was set in an earlier transaction as ''. No locks.
create or replace function booking.token_claims() returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

comment on function booking.token_claims() is 'The claims of the caller''s token, or null.';

-- Whether the token lets its bearer write this calendar (staff their own, admins and the service
-- every one; p_staff_id null means something that concerns the whole tenant).
create or replace function booking.caller_may_write(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_claims jsonb := booking.token_claims();
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
