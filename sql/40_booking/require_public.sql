-- What a request names must be public: an active tenant, an active place or service of it. Missing,
-- foreign and inactive look the same. Each refuses by booking.refuse and reads only.
create or replace function booking.require_tenant(p_tenant_id uuid) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_given('tenant_id', p_tenant_id::text, 'the id of a tenant');
  perform from booking.tenants t where t.id = p_tenant_id and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
end
$$;

comment on function booking.require_tenant(uuid) is
  'Refuses a tenant_id that is missing (invalid_request) or names no active tenant (not_found).';

create or replace function booking.require_location(p_tenant_id uuid, p_location_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_location_id is not null then
    perform
    from booking.locations l
    where l.tenant_id = p_tenant_id and l.id = p_location_id and l.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such place (location_id).');
    end if;
  end if;
end
$$;

comment on function booking.require_location(uuid, uuid) is
  'Refuses a location_id that names no active place of the tenant (not_found); null is anywhere.';

create or replace function booking.require_type(p_tenant_id uuid, p_code text)
returns booking.appointment_types
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_type booking.appointment_types;
begin
  perform booking.require_length('appointment_type', p_code, 1, 100);

  select y.* into v_type
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.code = p_code and y.is_active;
  if not found then
    perform booking.refuse('invalid_request', format(
      'appointment_type is "%s"; expected the code of one of this tenant''s services.', p_code
    ));
  end if;
  return v_type;
end
$$;

comment on function booking.require_type(uuid, text) is
  'The active service of that code, or a refusal (invalid_request).';
