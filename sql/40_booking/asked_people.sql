-- Whose slots a listing asks for: the person named, those who offer the service, those who can have
-- slots at the place, or all of these; null is everyone. Reads only, refuses nothing.
create or replace function booking.asked_people(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_type_id uuid,
  p_location_id uuid
) returns uuid[]
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := case when p_staff_id is not null then array[p_staff_id] end;
begin
  if p_type_id is not null then
    -- Others may offer the same shape as another service.
    v_staff_ids := array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = p_tenant_id and o.appointment_type_id = p_type_id
        and (p_staff_id is null or o.staff_id = p_staff_id)
    );
  end if;

  if p_location_id is not null then
    v_staff_ids := array(
      select p.id
      from unnest(booking.people_at(p_tenant_id, array[p_location_id])) as p(id)
      where v_staff_ids is null or p.id = any (v_staff_ids)
    );
  end if;
  return v_staff_ids;
end
$$;

comment on function booking.asked_people(uuid, uuid, uuid, uuid) is
  'The people whose slots are asked for by a person, a service and a place (null: any); null:
everyone.';
