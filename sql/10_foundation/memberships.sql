-- Memberships: rows of booking.members, rendered into tokens. What the token says is what policies
-- believe, so a change takes effect with the user's next token.

create or replace function booking.token_claims(p_user_id uuid) returns jsonb
language sql stable parallel safe
set search_path = ''
as $$
  select jsonb_build_object('tenants', coalesce(
    jsonb_object_agg(
      m.tenant_id, jsonb_build_object('role', m.role, 'staff_id', m.staff_id)
    ),
    '{}'
  ))
  from booking.members m
  where m.user_id = p_user_id
$$;

comment on function booking.token_claims(uuid) is
  'What belongs into app_metadata of a user''s token: {"tenants": {"<tenant_id>": {"role",
"staff_id"}}}.';

-- Supabase calls it, as supabase_auth_admin, for each token that it makes; runs as the owner
-- because that role may read no table of ours. Whatever the event says of tenants is replaced: only
-- booking.members counts.
create or replace function booking.custom_access_token_hook(event jsonb) returns jsonb
language plpgsql stable parallel safe security definer
set search_path = ''
as $$
begin
  return jsonb_set(
    custom_access_token_hook.event, '{claims}',
    case jsonb_typeof(custom_access_token_hook.event -> 'claims')
      when 'object' then custom_access_token_hook.event -> 'claims'
      else '{}'
    end || jsonb_build_object('app_metadata',
      case jsonb_typeof(custom_access_token_hook.event #> '{claims,app_metadata}')
        when 'object' then custom_access_token_hook.event #> '{claims,app_metadata}'
        else '{}'
      end || booking.token_claims((custom_access_token_hook.event ->> 'user_id')::uuid)
    )
  );
end
$$;

comment on function booking.custom_access_token_hook(jsonb) is
  'Supabase''s hook: puts the user''s memberships into claims.app_metadata.tenants.';
