-- What get_available_slots and get_next_available have in common: which slots are asked for, and
-- how they are told. tenant_id, staff_id, location_id and appointment_type must name something
-- public (not_found, invalid_request); a duration that nothing has finds nothing. With
-- appointment_type each slot has its price of this moment (booking.slot_prices). Days beyond the
-- published ones are calculated, no more in a call than takes a fraction of a second. Counts the
-- search, and else reads only.
--
-- The body is put together as text: a jsonb of each of a thousand slots, or a function that makes
-- JSON, takes several times as long as finding them, and every copy of the whole can be felt. None
-- of it needs escaping: ids, numbers, times, and a currency, which is three capitals.
--
-- p_rest names the one key that says where the rest begins, and the answer is complete without it:
-- "next_page_token", the last slot told or where the search ended, or "searched_until", only that.
create or replace function booking.list_slots(
  p_request jsonb,
  p_after_start timestamptz,
  p_after_id uuid,
  p_limit integer,
  p_rest text
) returns text
language plpgsql volatile parallel unsafe
set search_path = ''
-- Planning anew would take as long as finding a few slots.
set plan_cache_mode = force_generic_plan
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
  v_slots text;
  v_count bigint;
  v_searched_until text;
  v_page_token text;
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
    perform booking.count_search(p_request, false);
    return '{"success":true,"slots":[]}';
  end if;

  -- One more than asked for tells whether there is a next page.
  with found as materialized (
    select o.*
    from booking.find_open_slots(
      v_tenant_id, v_staff_ids, v_location_id, v_shape_ids,
      (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date,
      p_after_start, p_after_id, p_limit + 1, c_most_days
    ) with ordinality as o
  ),
  -- By position.
  prices as materialized (
    select array_agg(p.price_cents order by p.position) as price_cents
    from (
      select
        array_agg(f.staff_id order by f.ordinality) as staff_ids,
        array_agg(f.location_id order by f.ordinality) as location_ids,
        array_agg(f.start_time order by f.ordinality) as start_times
      from found f
    ) as f
    cross join lateral booking.slot_prices(
      v_tenant_id, v_type.id, f.staff_ids, f.location_ids, f.start_times
    ) p
  )
  select
    string_agg(
      concat(
        '{"id":"', f.id, '","staff_id":"', f.staff_id,
        '","start_time":"', booking.iso_time(f.start_time),
        '","end_time":"', booking.iso_time(f.end_time),
        '","duration_minutes":', f.duration_minutes, ',"location_id":"', f.location_id,
        '","seats_left":', f.seats_left,
        case when v_type.id is not null then concat(
          ',"price_cents":' || (select p.price_cents from prices p)[f.ordinality],
          ',"currency":"' || v_type.currency || '"'
        ) end,
        '}'
      ), ',' order by f.ordinality
    ) filter (where f.id is not null and f.ordinality <= p_limit),
    count(f.id),
    max(booking.iso_time(f.start_time)) filter (where f.id is null),
    max(concat(booking.iso_time(f.start_time), '_', f.id)) filter (where f.ordinality = p_limit)
  into v_slots, v_count, v_searched_until, v_page_token
  from found f;

  perform booking.count_search(p_request, v_count > 0 or v_searched_until is not null);
  return concat(
    '{"success":true,"slots":[', v_slots, ']', ',"' || p_rest || '":"' || case
      when p_rest = 'searched_until' then v_searched_until
      when v_count > p_limit then v_page_token
      else v_searched_until || '_' || c_no_slot
    end || '"', '}'
  );
end
$$;

comment on function booking.list_slots(jsonb, timestamptz, uuid, integer, text) is
  'The body of an answer, JSON: the slots that a request asks for, after the given start and id, and
p_rest where there are more: next_page_token, or searched_until (UTC) where days after it have not
been calculated.';
