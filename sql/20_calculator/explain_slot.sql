-- Why one start can or cannot be booked for an appointment type: each rule of the calculator in
-- order, with its verdict, a sentence for whoever manages the calendar, and the rows that decided.
-- passed is null where another rule leaves nothing to ask.
--
-- Verdicts are the calculator's: of working time (rules 1 and 3) by working_time, of the rest by
-- calculate_slot; what is looked up here is the evidence, and for a start that has no row there
-- (rules 1 or 3 failed, or something is inactive) the verdicts of rules 4 and 6 by the same
-- conditions; so is that of the day limit (rule 5). That they agree on every candidate is a
-- property test. Holds are no rule of the calculator but the last word on reserving. Reads only,
-- refuses nothing.
create or replace function booking.explain_slot(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_type_id uuid,
  p_at timestamptz
) returns table (rule text, passed boolean, message text, evidence jsonb)
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_tenant booking.tenants;
  v_person booking.staff;
  v_place booking.locations;
  v_type booking.appointment_types;
  v_shape booking.slot_shapes;
  v_offers boolean;
  v_state record;
  v_zone text;
  v_date date;
  v_end timestamptz;
  v_claim tstzrange;
  v_slot_id uuid;
  v_capacity integer;
  v_booked integer;
  v_piece tstzrange;
  v_run_ends_at timestamptz;
  v_hours text;
  v_is_cut boolean;
  v_held_until timestamptz;
  v_bookable_from timestamptz;
  v_bookable_until timestamptz;
  v_last_date date;
  v_has_begun boolean;
  v_full_date date;
  v_most integer;
  v_days tstzrange;
  v_day_full_until timestamptz;
begin
  select t.* into v_tenant from booking.tenants t where t.id = p_tenant_id;
  select s.* into v_person
  from booking.staff s where s.tenant_id = p_tenant_id and s.id = p_staff_id;
  select l.* into v_place
  from booking.locations l where l.tenant_id = p_tenant_id and l.id = p_location_id;
  select y.* into v_type
  from booking.appointment_types y where y.tenant_id = p_tenant_id and y.id = p_type_id;
  select sh.* into v_shape
  from booking.slot_shapes sh where sh.tenant_id = p_tenant_id and sh.id = v_type.shape_id;
  select s.* into v_state
  from booking.calculate_slot(p_tenant_id, p_staff_id, p_location_id, v_shape.id, p_at) s;

  v_offers := exists (
    select
    from booking.staff_appointment_types o
    where o.tenant_id = p_tenant_id and o.staff_id = p_staff_id
      and o.appointment_type_id = p_type_id
  );
  v_zone := coalesce(v_place.timezone, v_tenant.timezone);
  v_date := (p_at at time zone v_zone)::date;
  v_end := p_at + v_shape.duration_minutes * interval '1 minute';
  v_claim := booking.claim_of(
    p_at, v_end, v_shape.buffer_before_minutes, v_shape.buffer_after_minutes
  );
  v_slot_id := booking.slot_id(p_tenant_id, p_staff_id, p_location_id, p_at, v_shape.id);
  v_capacity := case when v_shape.is_group then v_type.capacity else 1 end;
  v_booked := (
    select count(*)
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.slot_id = v_slot_id and a.status <> 'cancelled'
  );
  v_has_begun := v_shape.is_group and v_booked > 0;
  -- The local days that it touches.
  v_days := tstzrange(
    booking.first_instant(v_date, v_zone),
    booking.first_instant(
      ((v_end - interval '1 microsecond') at time zone v_zone)::date + 1, v_zone
    )
  );

  rule := 'active';
  select
    count(*) = 0,
    coalesce(
      string_agg(x.sentence, ' ' order by x.number),
      format('%s offers %s.', v_person.display_name, v_type.name)
    ),
    coalesce(
      jsonb_agg(jsonb_build_object('table', x.source, 'id', x.id) order by x.number), '[]'
    )
  into passed, message, evidence
  from (
    values
      (1, v_tenant.is_active, 'tenants', v_tenant.id, format('%s is inactive.', v_tenant.name)),
      (2, v_person.is_active, 'staff', v_person.id,
        format('%s is inactive.', v_person.display_name)),
      (3, v_place.is_active, 'locations', v_place.id, format('%s is inactive.', v_place.name)),
      (4, v_type.is_active, 'appointment_types', v_type.id,
        format('%s is inactive.', v_type.name)),
      (5, v_offers, 'appointment_types', v_type.id,
        format('%s does not offer %s.', v_person.display_name, v_type.name))
  ) as x(number, is_so, source, id, sentence)
  where not x.is_so;
  return next;

  -- Rule 1, and what rule 3 needs of it.
  with pieces as materialized (
    select tstzrange(w.starts_at, w.ends_at) as period, w.local_date
    from booking.working_time(p_tenant_id, array[p_staff_id], v_date - 2, v_date + 2) w
    where w.location_id = p_location_id
  )
  select
    (select p.period from pieces p where p.period @> p_at order by p.period limit 1),
    (
      select upper(run.period)
      from (select unnest(range_agg(p.period)) as period from pieces p) as run
      where run.period @> p_at
    ),
    (
      select string_agg(
        to_char(lower(p.period) at time zone v_zone, 'HH24:MI') || ' to '
          || to_char(upper(p.period) at time zone v_zone, 'HH24:MI'), ', ' order by p.period
      )
      from pieces p where p.local_date = v_date
    )
  into v_piece, v_run_ends_at, v_hours;

  rule := 'working_time';
  passed := v_run_ends_at is not null;
  -- What decided: the rows that open the time; else what was cut from it, and what took the place
  -- of the weekly hours that day.
  select
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'table', r.source, 'id', r.id, 'starts_at', booking.iso_time(r.starts_at),
          'ends_at', booking.iso_time(r.ends_at), 'note', r.note
        )
        order by r.is_cut desc, r.starts_at, r.id
      ) filter (where case
        when passed then r.covers and not r.is_cut
        when r.is_cut then r.covers
        else r.source = 'schedule_exceptions' and r.local_date = v_date
      end),
      '[]'
    ),
    coalesce(
      bool_or(r.covers and r.is_cut) and bool_or(r.covers and not r.is_cut), false
    )
  into evidence, v_is_cut
  from booking.schedule_rows(p_tenant_id, p_staff_id, p_location_id, p_at) r;
  message := case
    when passed then format(
      '%s works at %s: %s.', v_person.display_name, v_place.name,
      booking.period_text(lower(v_piece), upper(v_piece), v_zone)
    )
    when v_is_cut then format(
      '%s: %s%s.',
      case evidence #>> '{0,table}' when 'breaks' then 'Break' else 'Closed' end,
      booking.period_text(
        (evidence #>> '{0,starts_at}')::timestamptz, (evidence #>> '{0,ends_at}')::timestamptz,
        v_zone
      ),
      coalesce(' (' || nullif(btrim(evidence #>> '{0,note}'), '') || ')', '')
    )
    else format(
      '%s does not work at %s then. Working time that day: %s.',
      v_person.display_name, v_place.name, coalesce(v_hours, 'none')
    )
  end;
  return next;

  rule := 'starts';
  passed := v_state.is_on_grid;
  evidence := '[]';
  if passed is null then
    message := 'Not asked, because of another rule.';
  elsif passed and v_shape.is_group and v_booked > 0 then
    message := 'Others come to this class, so it keeps its time.';
  else
    message := format(
      'Starts are %s min apart, counted from %s. ', v_shape.step_minutes,
      case v_tenant.slot_alignment
        when 'window' then 'each beginning of working time'
        when 'clock' then 'midnight'
        else 'each beginning of working time and each end of an appointment or a busy time'
      end
    );
    if passed then
      message := message || 'This is one.';
    else
      select message || coalesce(
        'This is none; the nearest: ' || nullif(concat_ws(
          ' and ',
          booking.local_text(max(s.start_time) filter (where s.start_time < p_at), v_zone),
          booking.local_text(min(s.start_time) filter (where s.start_time > p_at), v_zone)
        ), '') || '.',
        'There is none that day.'
      )
      into message
      from booking.calculate_slots(p_tenant_id, array[p_staff_id], v_date, v_date) s
      where s.location_id = p_location_id and s.shape_id = v_shape.id;
    end if;
  end if;
  return next;

  rule := 'fit';
  passed := v_end <= v_run_ends_at;
  evidence := '[]';
  if passed is null then
    message := 'Not asked, because it is no working time.';
  elsif passed then
    message := format('It ends %s, in working time.', booking.local_text(v_end, v_zone));
  else
    message := format(
      'It would end %s, but working time ends %s.', booking.local_text(v_end, v_zone),
      booking.local_text(v_run_ends_at, v_zone)
    );
    select coalesce(jsonb_agg(jsonb_build_object(
      'table', r.source, 'id', r.id, 'starts_at', booking.iso_time(r.starts_at),
      'ends_at', booking.iso_time(r.ends_at), 'note', r.note
    ) order by r.starts_at, r.id), '[]')
    into evidence
    from booking.schedule_rows(p_tenant_id, p_staff_id, p_location_id, p_at) r
    where case
      when r.is_cut then r.starts_at <= v_run_ends_at and r.ends_at > v_run_ends_at
      else r.ends_at = v_run_ends_at
    end;
  end if;
  return next;

  -- Rule 4: a class ignores its own attendees, unless they fill it; an appointment elsewhere takes
  -- the way to and from it, too.
  rule := 'free';
  select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'table', x.source, 'id', x.id, 'starts_at', booking.iso_time(lower(x.period)),
    'ends_at', booking.iso_time(upper(x.period)), 'travel_from', x.place
  )) order by lower(x.period), x.id), '[]')
  into evidence
  from (
    select 'appointments' as source, a.id, a.claim as period,
      case when not a.claim && v_claim then l.name end as place
    from booking.appointments a
    join booking.locations l on l.tenant_id = p_tenant_id and l.id = a.location_id
    where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id
      and a.claim && booking.widened(v_claim, booking.longest_travel(p_tenant_id))
      and upper(a.claim) > lower(v_claim) - booking.longest_travel(p_tenant_id)
      and a.status <> 'cancelled'
      and (a.slot_id is distinct from v_slot_id or v_booked >= v_capacity)
      and v_claim && booking.barred_period(p_tenant_id, a.claim, a.location_id, p_location_id)
    union all
    select 'busy_times', t.id, tstzrange(t.start_time, t.end_time), null
    from booking.busy_times t
    where t.tenant_id = p_tenant_id and t.staff_id = p_staff_id
      and tstzrange(t.start_time, t.end_time) && v_claim and t.end_time > lower(v_claim)
  ) as x;
  passed := coalesce(v_state.is_free, evidence = '[]');
  message := case
    when v_shape.is_group and v_booked >= v_capacity
    then format('All %s places are taken.', v_capacity)
    when evidence <> '[]' then format(
      '%s: %s%s.',
      case
        when evidence #>> '{0,travel_from}' is not null
        then format('No time to travel: appointment at %s', evidence #>> '{0,travel_from}')
        when evidence #>> '{0,table}' = 'appointments'
        then 'Another appointment, buffers included'
        else 'Busy'
      end,
      booking.period_text(
        (evidence #>> '{0,starts_at}')::timestamptz, (evidence #>> '{0,ends_at}')::timestamptz,
        v_zone
      ),
      case when jsonb_array_length(evidence) > 1
        then format(', and %s more', jsonb_array_length(evidence) - 1) else '' end
    )
    when v_shape.is_group then format('%s of %s places are taken.', v_booked, v_capacity)
    else format(
      'Nothing else, buffers included: %s.',
      booking.period_text(lower(v_claim), upper(v_claim), v_zone)
    )
  end;
  return next;

  -- Rule 5. A class that somebody attends has its day.
  rule := 'day_limit';
  select max(d.booked),
    min(d.local_date) filter (where d.booked >= v_person.max_appointments_per_day)
  into v_most, v_full_date
  from (
    select local_date::date as local_date, (
      select count(distinct coalesce(a.slot_id, a.id))
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.claim && v_days
        and upper(a.claim) > lower(v_days)
        and tstzrange(a.start_time, a.end_time) && tstzrange(
          booking.first_instant(local_date, v_zone),
          booking.first_instant(local_date + interval '1 day', v_zone)
        )
        and a.status <> 'cancelled'
    ) as booked
    from generate_series(
      v_date::timestamp, ((v_end - interval '1 microsecond') at time zone v_zone)::date::timestamp,
      interval '1 day'
    ) as local_date
  ) as d;
  passed := coalesce(v_state.is_within_limit, v_has_begun or v_full_date is null);
  evidence := case
    when passed then '[]'
    else jsonb_build_array(jsonb_build_object('table', 'staff', 'id', p_staff_id))
  end;
  message := case
    when v_person.max_appointments_per_day is null
    then format('%s has no limit of appointments a day.', v_person.display_name)
    when not passed then format(
      '%s takes %s appointments a day, and has them on %s.', v_person.display_name,
      v_person.max_appointments_per_day, to_char(v_full_date, 'Dy FMDD Mon YYYY')
    )
    when v_has_begun then 'Others come to this class, so it counts already.'
    else format(
      '%s takes %s appointments a day, and has %s.', v_person.display_name,
      v_person.max_appointments_per_day, v_most
    )
  end;
  return next;

  rule := 'compact';
  passed := case
    when not v_person.compact_schedule then true
    when v_state.is_on_grid and v_state.is_free and v_state.is_within_limit
    then v_state.is_available
  end;
  evidence := case
    when passed is false
    then jsonb_build_array(jsonb_build_object('table', 'staff', 'id', p_staff_id))
    else '[]'
  end;
  message := case
    when not v_person.compact_schedule
    then format('%s does not keep a compact schedule.', v_person.display_name)
    when passed is null then 'Not asked, because of another rule.'
    when passed then 'The compact schedule leaves it open.'
    else format(
      '%s keeps a compact schedule: on a day with an appointment only the first and the last of '
        'consecutive free starts are offered.', v_person.display_name
    )
  end;
  return next;

  rule := 'bookable';
  v_bookable_until := p_at - v_shape.min_notice_minutes * interval '1 minute';
  v_bookable_from := p_at - v_shape.max_advance_days * interval '24 hours';
  v_last_date := (v_now at time zone v_zone)::date + v_tenant.booking_horizon_days;
  evidence := jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
    'now', booking.iso_time(v_now),
    'bookable_from', booking.iso_time(v_bookable_from),
    'bookable_until', booking.iso_time(v_bookable_until),
    'last_date', v_last_date
  )));
  passed := coalesce(
    v_state.is_bookable,
    coalesce(v_bookable_from <= v_now, true) and v_now < v_bookable_until
      and v_date <= v_last_date
  );
  message := case
    when v_now >= v_bookable_until and v_shape.min_notice_minutes > 0 then format(
      'Too late: it had to be booked before %s, %s min ahead.',
      booking.local_text(v_bookable_until, v_zone), v_shape.min_notice_minutes
    )
    when v_now >= v_bookable_until then format(
      'Too late: it had to be booked before %s.', booking.local_text(v_bookable_until, v_zone)
    )
    when v_date > v_last_date then format(
      'Too early: bookings are taken up to %s, %s days ahead.',
      to_char(v_last_date, 'Dy FMDD Mon YYYY'), v_tenant.booking_horizon_days
    )
    when v_bookable_from > v_now then format(
      'Too early: it can be booked from %s on, %s days ahead.',
      booking.local_text(v_bookable_from, v_zone), v_shape.max_advance_days
    )
    else format('It can be booked before %s.', booking.local_text(v_bookable_until, v_zone))
  end;
  return next;

  -- Until when holds of other slots and, where they and attendees fill it, its own leave no place;
  -- as availability_slots.reserved_until (expected_slots).
  rule := 'not_held';
  if not v_has_begun then
    v_day_full_until := booking.day_is_full_until(
      p_tenant_id, p_staff_id, p_location_id, v_slot_id, p_at, v_end
    );
  end if;
  with own as (
    select h.*, row_number() over (order by h.expires_at) as place, count(*) over () as places
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id = v_slot_id
      and h.expires_at > v_now
  ),
  others as (
    select *
    from booking.holds_in_the_way(
      p_tenant_id, p_staff_id, p_location_id, v_slot_id, v_claim
    )
  ),
  barring as (
    select w.id, w.claim, w.expires_at from others w
    union all
    select o.id, o.claim, o.expires_at
    from own o
    where o.places + v_booked >= v_capacity
      and o.place <= o.places + v_booked - v_capacity + 1
    union all
    -- With these the day is full, until the day limit has room again.
    select h.id, h.claim, null
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id <> v_slot_id
      and h.expires_at > v_now and h.claim && v_days and v_day_full_until is not null
      and h.id not in (select w.id from others w)
  )
  select greatest(max(b.expires_at), v_day_full_until), coalesce(jsonb_agg(jsonb_build_object(
    'table', 'slot_reservations', 'id', b.id, 'starts_at', booking.iso_time(lower(b.claim)),
    'ends_at', booking.iso_time(upper(b.claim))
  ) order by lower(b.claim), b.id), '[]')
  into v_held_until, evidence
  from barring b;
  passed := v_held_until is null;
  message := case
    when passed then 'Nobody is booking it right now.'
    else format(
      'Somebody is booking it right now and holds it until %s.',
      booking.local_text(v_held_until, v_zone)
    )
  end;
  return next;
end
$$;

comment on function booking.explain_slot(uuid, uuid, uuid, uuid, timestamptz) is
  'Each rule of the design, section 4, for one start: passed (null: not asked), a sentence, and the
rows that decided.';
