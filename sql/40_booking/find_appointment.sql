-- The appointment that a request names, if its caller may know of it: the customer, whoever holds
-- its manage token, the tenant's staff and admins, the service. All null where there is none, or
-- (another tenant may have used the same id) more than one. Reads only.
create or replace function booking.find_appointment(p_request jsonb) returns booking.appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_appointment_id uuid := (p_request ->> 'appointment_id')::uuid;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_token_hash bytea := sha256(convert_to(p_request ->> 'manage_token', 'UTF8'));
  v_caller_id uuid := booking.caller_id();
  v_found booking.appointments[];
begin
  if v_appointment_id is null then
    return null;
  end if;

  v_found := array(
    select a
    from booking.appointments a
    where a.id = v_appointment_id and (v_tenant_id is null or a.tenant_id = v_tenant_id)
      and (
        a.customer_id = v_caller_id
        or a.manage_token_hash = v_token_hash
        or booking.caller_is_member(a.tenant_id)
      )
  );
  return case when cardinality(v_found) = 1 then v_found[1] end;
end
$$;

comment on function booking.find_appointment(jsonb) is
  'The appointment that a request names by appointment_id (and tenant_id), if its caller is its
customer, holds its manage_token, or belongs to the tenant; else null.';
