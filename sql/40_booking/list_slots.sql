-- What get_available_slots and get_next_available have in common: which slots are asked for, and
-- how they are told. tenant_id, staff_id, location_id and appointment_type must name something
-- public (not_found, invalid_request); a duration that nothing has finds nothing. Days that have no
-- rows have no slots here. Reads only.
--
-- The answer is complete where it has no next_page_token; else that names the last slot told.
create or replace function booking.list_slots(
  p_request jsonb,
  p_after_start timestamptz,
  p_after_id uuid,
  p_limit integer
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_duration_minutes integer := (p_request ->> 'duration_minutes')::integer;
  v_code text := p_request ->> 'appointment_type';
  v_type booking.appointment_types;
  v_staff_ids uuid[] := array[v_staff_id];
  v_shape_ids uuid[];
  v_slots jsonb[];
begin
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_between('duration_minutes', v_duration_minutes, 1, 1440);
  if v_code is not null then
    perform booking.require_length('appointment_type', v_code, 1, 100);
  end if;

  perform from booking.tenants t where t.id = v_tenant_id and t.is_active;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;

  if v_staff_id is null then
    v_staff_ids := null;
  else
    perform
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = v_staff_id and s.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such person (staff_id).');
    end if;
  end if;

  if v_location_id is not null then
    perform
    from booking.locations l
    where l.tenant_id = v_tenant_id and l.id = v_location_id and l.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such place (location_id).');
    end if;
  end if;

  if v_code is not null then
    select y.* into v_type
    from booking.appointment_types y
    where y.tenant_id = v_tenant_id and y.code = v_code and y.is_active;
    if not found then
      perform booking.refuse('invalid_request', format(
        'appointment_type is "%s"; expected the code of one of this tenant''s services.', v_code
      ));
    end if;
    -- Others may offer the same shape as another service.
    v_staff_ids := array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = v_tenant_id and o.appointment_type_id = v_type.id
        and (v_staff_id is null or o.staff_id = v_staff_id)
    );
    v_shape_ids := array[v_type.shape_id];
  end if;
  if v_duration_minutes is not null then
    v_shape_ids := array(
      select sh.id
      from booking.slot_shapes sh
      where sh.tenant_id = v_tenant_id and sh.duration_minutes = v_duration_minutes
        and (v_type.id is null or sh.id = v_type.shape_id)
    );
  end if;

  if v_location_id is not null then
    v_staff_ids := array(
      select p.id
      from unnest(booking.people_at(v_tenant_id, array[v_location_id])) as p(id)
      where v_staff_ids is null or p.id = any (v_staff_ids)
    );
  end if;

  if cardinality(v_staff_ids) = 0 or cardinality(v_shape_ids) = 0 then
    return jsonb_build_object('slots', '[]'::jsonb);
  end if;

  -- One more than asked for tells whether there is a next page.
  v_slots := array(
    select jsonb_strip_nulls(jsonb_build_object(
      'id', s.id,
      'staff_id', s.staff_id,
      'start_time', booking.iso_time(s.start_time),
      'end_time', booking.iso_time(s.end_time),
      'duration_minutes', s.duration_minutes,
      'location_id', s.location_id,
      'seats_left', s.seats_left,
      'price_cents', v_type.price_cents,
      'currency', v_type.currency
    ))
    from booking.find_open_slots(
      v_tenant_id, v_staff_ids, v_location_id, v_shape_ids,
      (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date,
      p_after_start, p_after_id, p_limit + 1
    ) s
  );
  return jsonb_strip_nulls(jsonb_build_object(
    'slots', to_jsonb(v_slots[:p_limit]),
    'next_page_token', case
      when cardinality(v_slots) > p_limit
      then (v_slots[p_limit] ->> 'start_time') || '_' || (v_slots[p_limit] ->> 'id')
    end
  ));
end
$$;

comment on function booking.list_slots(jsonb, timestamptz, uuid, integer) is
  'The slots that a request asks for, after the given start and id, and next_page_token where there
are more than p_limit.';
