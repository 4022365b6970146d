-- What get_available_slots and get_next_available have in common: which slots are asked for, and
-- how they are told. tenant_id, staff_id, location_id and appointment_type must name something
-- public (not_found, invalid_request); a duration that nothing has finds nothing. With
-- appointment_type each slot has its price of this moment (booking.slot_prices). Days beyond the
-- published ones are calculated, no more in a call than takes a fraction of a second. Reads only.
--
-- The answer is complete where it has no next_page_token; else that names the last slot told, or
-- where the search ended.
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
  -- One person's day in one shape takes a fifth of a millisecond, at a quarter-hour's step.
  c_most_days constant integer := 1500;
  c_no_slot constant uuid := uuid '00000000-0000-0000-0000-000000000000';
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_duration_minutes integer := (p_request ->> 'duration_minutes')::integer;
  v_code text := p_request ->> 'appointment_type';
  v_type booking.appointment_types;
  v_staff_ids uuid[];
  v_shape_ids uuid[];
  v_slots jsonb[];
  v_searched_until text;
begin
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_between('duration_minutes', v_duration_minutes, 1, 1440);
  if v_staff_id is not null then
    perform
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = v_staff_id and s.is_active;
    if not found then
      perform booking.refuse('not_found', 'There is no such person (staff_id).');
    end if;
  end if;
  perform booking.require_location(v_tenant_id, v_location_id);

  if v_code is not null then
    v_type := booking.require_type(v_tenant_id, v_code);
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

  v_staff_ids := booking.asked_people(v_tenant_id, v_staff_id, v_type.id, v_location_id);
  if cardinality(v_staff_ids) = 0 or cardinality(v_shape_ids) = 0 then
    return jsonb_build_object('slots', '[]'::jsonb);
  end if;

  -- One more than asked for tells whether there is a next page.
  v_slots := array(
    with found as materialized (
      select o.*
      from booking.find_open_slots(
        v_tenant_id, v_staff_ids, v_location_id, v_shape_ids,
        (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date,
        p_after_start, p_after_id, p_limit + 1, c_most_days
      ) with ordinality as o
    ),
    prices as materialized (
      select p.position, p.price_cents
      from (
        select
          array_agg(f.staff_id order by f.ordinality) as staff_ids,
          array_agg(f.location_id order by f.ordinality) as location_ids,
          array_agg(f.start_time order by f.ordinality) as start_times
        from found f
        where v_type.id is not null
      ) as f
      cross join lateral booking.slot_prices(
        v_tenant_id, v_type.id, f.staff_ids, f.location_ids, f.start_times
      ) p
    )
    select jsonb_strip_nulls(jsonb_build_object(
      'id', s.id,
      'staff_id', s.staff_id,
      'start_time', booking.iso_time(s.start_time),
      'end_time', booking.iso_time(s.end_time),
      'duration_minutes', s.duration_minutes,
      'location_id', s.location_id,
      'seats_left', s.seats_left,
      'price_cents', p.price_cents,
      'currency', v_type.currency
    ))
    from found s
    left join prices p on p.position = s.ordinality
    order by s.ordinality
  );
  if not v_slots[cardinality(v_slots)] ? 'id' then
    v_searched_until := v_slots[cardinality(v_slots)] ->> 'start_time';
    v_slots := trim_array(v_slots, 1);
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'slots', to_jsonb(v_slots[:p_limit]),
    'next_page_token', case
      when cardinality(v_slots) > p_limit
      then (v_slots[p_limit] ->> 'start_time') || '_' || (v_slots[p_limit] ->> 'id')
      else v_searched_until || '_' || c_no_slot
    end,
    'searched_until', v_searched_until
  ));
end
$$;

comment on function booking.list_slots(jsonb, timestamptz, uuid, integer) is
  'The slots that a request asks for, after the given start and id, and next_page_token where there
are more than p_limit; searched_until (UTC) where days after it have not been calculated.';
