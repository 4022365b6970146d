-- The slot that a request names, all null where it names none. Clients know its id and often no
-- tenant; the id says which one. A slot that has no row (beyond the pre-computed days, or off the
-- grid since) is found by the caller's own hold on it, or by what the listing said of it: tenant,
-- person, place and start, if the id is the one that these make. Says nothing about whether it can
-- be booked. Reads only.
create or replace function booking.find_slot(p_request jsonb, p_session_hash bytea)
returns booking.availability_slots
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_slot_id uuid := (p_request ->> 'slot_id')::uuid;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_start_time timestamptz := (p_request ->> 'start_time')::timestamptz;
  v_slot booking.availability_slots;
begin
  if v_slot_id is null then
    return null;
  end if;

  select s.* into v_slot
  from booking.availability_slots s
  where s.id = v_slot_id and (v_tenant_id is null or s.tenant_id = v_tenant_id);
  if found then
    return v_slot;
  end if;

  select h.tenant_id, h.slot_id, h.staff_id, h.location_id, h.shape_id, h.start_time
  into v_slot.tenant_id, v_slot.id, v_slot.staff_id, v_slot.location_id, v_slot.shape_id,
    v_slot.start_time
  from booking.slot_reservations h
  where h.slot_id = v_slot_id and (v_tenant_id is null or h.tenant_id = v_tenant_id)
    and (h.session_hash = p_session_hash or h.customer_id = booking.caller_id())
  limit 1;
  if found then
    return v_slot;
  end if;

  select y.tenant_id, v_slot_id, v_staff_id, v_location_id, y.shape_id, v_start_time
  into v_slot.tenant_id, v_slot.id, v_slot.staff_id, v_slot.location_id, v_slot.shape_id,
    v_slot.start_time
  from booking.appointment_types y
  where y.tenant_id = v_tenant_id and y.is_active
    -- The time of appointments; the end of time has no local date.
    and v_start_time >= '1900-01-01 00:00+00' and v_start_time < '10000-01-01 00:00+00'
    and v_slot_id = booking.slot_id(
      v_tenant_id, v_staff_id, v_location_id, v_start_time, y.shape_id
    )
  limit 1;
  return v_slot;
end
$$;

comment on function booking.find_slot(jsonb, bytea) is
  'The slot that a request names by slot_id (and tenant_id, staff_id, location_id, start_time), or
null.';
