-- An active tenant by its public name. Refuses: invalid_request, not_found (missing and inactive
-- look alike). Reads only, in the frame of booking.answer.
create or replace function booking.get_tenant(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_answer jsonb;
begin
  perform booking.require_length('slug', p_request ->> 'slug', 1, 63);

  select jsonb_build_object('id', t.id, 'name', t.name, 'timezone', t.timezone) into v_answer
  from booking.tenant_slugs g
  join booking.tenants t on t.id = g.tenant_id
  where g.slug = p_request ->> 'slug' and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
  return v_answer;
end
$$;

comment on function booking.get_tenant(jsonb) is
  'Worker of api.get_tenant: id, name and time zone of the tenant with that slug.';
