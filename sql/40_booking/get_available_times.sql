-- The times at which a service can be had of anybody: the slots that get_available_slots lists, by
-- start and place, with the number of people to choose from and what they cost. All in one answer:
-- where more slots would have to be looked at, or more days beyond the published ones calculated,
-- than one call may take, it is refused. Where no rule asks for the person or the load, all of a
-- start and place cost the same and are asked for once. Refuses: invalid_request, range_too_large,
-- not_found. Counts the search, and else reads only, in the frame of booking.answer.
create or replace function booking.get_available_times(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 62;
  -- One person's day in one shape takes a fifth of a millisecond, at a quarter-hour's step.
  c_most_days_calculated constant integer := 2000;
  c_most_slots constant integer := 50000;
  c_most_slots_by_person constant integer := 10000;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_location_id uuid := (p_request ->> 'location_id')::uuid;
  v_first_date date := (p_request ->> 'start_date')::date;
  v_last_date date := (p_request ->> 'end_date')::date;
  v_type booking.appointment_types;
  v_prices_differ boolean;
  v_most_slots integer;
  v_times jsonb;
  v_searched_until timestamptz;
begin
  perform booking.require_dates(v_first_date, v_last_date, c_most_days);
  perform booking.require_tenant(v_tenant_id);
  perform booking.require_location(v_tenant_id, v_location_id);
  v_type := booking.require_type(v_tenant_id, p_request ->> 'appointment_type');

  v_prices_differ := exists (
    select
    from booking.price_rules r
    where r.tenant_id = v_tenant_id
      and (r.appointment_type_id is null or r.appointment_type_id = v_type.id)
      and (
        r.staff_id is not null or r.min_load_percent is not null or r.max_load_percent is not null
      )
  );
  v_most_slots := case when v_prices_differ then c_most_slots_by_person else c_most_slots end;

  with found as materialized (
    select f.*
    from booking.find_service_slots(
      v_tenant_id, v_type, v_location_id, v_first_date, v_last_date, null, c_most_days_calculated,
      v_most_slots + 1
    ) f
  ),
  -- Each start at each place, or of each person there where it matters who.
  priced as materialized (
    select
      f.start_time, f.end_time, f.duration_minutes, f.location_id, count(*) as people,
      (array_agg(f.staff_id))[1] as staff_id, row_number() over () as position
    from found f
    where f.id is not null
    group by f.start_time, f.end_time, f.duration_minutes, f.location_id,
      case when v_prices_differ then f.staff_id end
  ),
  prices as materialized (
    select p.position, p.price_cents
    from (
      select
        array_agg(f.staff_id order by f.position) as staff_ids,
        array_agg(f.location_id order by f.position) as location_ids,
        array_agg(f.start_time order by f.position) as start_times
      from priced f
      -- Else it is refused, and nobody pays for prices.
      where (select count(*) from found) <= v_most_slots
    ) as f
    cross join lateral booking.slot_prices(
      v_tenant_id, v_type.id, f.staff_ids, f.location_ids, f.start_times
    ) p
  ),
  times as (
    select f.start_time, f.end_time, f.duration_minutes, f.location_id,
      sum(f.people) as free_staff, min(p.price_cents) as lowest, max(p.price_cents) as highest
    from priced f
    join prices p on p.position = f.position
    group by f.start_time, f.end_time, f.duration_minutes, f.location_id
  )
  select
    coalesce(jsonb_agg(
      jsonb_build_object(
        'start_time', booking.iso_time(t.start_time),
        'end_time', booking.iso_time(t.end_time),
        'duration_minutes', t.duration_minutes,
        'location_id', t.location_id,
        'free_staff', t.free_staff,
        'lowest_price_cents', t.lowest,
        'highest_price_cents', t.highest,
        'currency', v_type.currency
      )
      order by t.start_time, t.location_id
    ), '[]'),
    (
      select f.start_time
      from (select f.*, row_number() over () as number from found f) as f
      where f.id is null or f.number > v_most_slots
      order by f.number
      limit 1
    )
  into v_times, v_searched_until
  from times t;

  if v_searched_until is not null then
    perform booking.refuse(
      'range_too_large',
      format(
        'start_date to end_date is too much for one answer: it would go until %s.',
        booking.iso_time(v_searched_until)
      ),
      null, 'Ask for fewer days at a time, or name a place (location_id).'
    );
  end if;
  perform booking.count_search(p_request, v_times <> '[]');
  return jsonb_build_object('times', v_times);
end
$$;

comment on function booking.get_available_times(jsonb) is
  'Worker of api.get_available_times: starts of a service, each with how many people are free.';
