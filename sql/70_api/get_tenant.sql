-- Worker: booking.get_tenant, in the frame of booking.answer.
create or replace function api.get_tenant(slug text) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.answer('get_tenant', jsonb_build_object(
    'slug', get_tenant.slug
  ));
end
$$;

comment on function api.get_tenant(text) is
  'Find a business by its public name
Answers {"success": true, "id", "name", "timezone" (IANA)}. Refusals: not_found 404; invalid_request
400; rate_limited 429; busy 503.';
