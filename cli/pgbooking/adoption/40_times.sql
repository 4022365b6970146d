-- Appointments and busy times of the old system.

-- Appointments and busy times of the old system, resolved: who, where, what, from when to when.
-- Local times are read in the map's zone, the place's or the tenant's, and AT TIME ZONE takes the
-- later of two instants where clocks change. problem says why a row cannot be taken over at all,
-- appointment_problem why it can be a busy time only.
create or replace function booking_adoption.times_of(p_tenant_id uuid, p_rows jsonb)
returns setof booking_adoption.followed_time
language sql stable parallel safe
set search_path = ''
as $$
  select
    i.external_id, i.staff_id, i.location_id, i.appointment_type_id, i.start_time, i.end_time,
    i.buffer_before_minutes, i.buffer_after_minutes, i.status,
    case
      when i.staff_id is null
      then coalesce(format('staff "%s" is not known here', i.content ->> 'staff'), 'staff is empty')
      when i.start_time is null then 'start is empty'
      when i.end_time is null then 'end is empty, and no service says how long it takes'
      when i.start_time < '1900-01-01 00:00+00' or i.end_time >= '10000-01-01 00:00+00'
      then 'it is not between the years 1900 and 9999'
      when i.end_time <= i.start_time then format(
        'it ends (%s) before it begins (%s)',
        booking.iso_time(i.end_time), booking.iso_time(i.start_time)
      )
      when i.status not in ('pending', 'confirmed', 'completed', 'cancelled', 'no_show')
      then format('status "%s" is not known: the map says what it means', i.status)
    end as problem,
    case
      when i.location_id is null then coalesce(
        format('location "%s" is not known here', i.content ->> 'location'),
        'the tenant has several locations, and it names none'
      )
      when i.appointment_type_id is null then coalesce(
        format('service "%s" is not known here', i.content ->> 'service'), 'service is empty'
      )
    end as appointment_problem,
    i.content
  from (
    select
      r.content ->> 'external_id' as external_id, s.id as staff_id, l.id as location_id,
      t.id as appointment_type_id, begin.start_time,
      coalesce(
        (r.content ->> 'end_at')::timestamptz,
        (r.content ->> 'end_local')::timestamp at time zone z.name,
        begin.start_time + interval '1 minute' * coalesce(
          (r.content ->> 'duration_minutes')::integer, t.duration_minutes
        )
      ) as end_time,
      case
        when (r.content ->> 'use_buffers')::boolean then coalesce(t.buffer_before_minutes, 0)
        else 0
      end as buffer_before_minutes,
      case
        when (r.content ->> 'use_buffers')::boolean then coalesce(t.buffer_after_minutes, 0) else 0
      end as buffer_after_minutes,
      coalesce(r.content ->> 'status', 'confirmed') as status,
      r.content
    from jsonb_array_elements(p_rows) as r(content)
    join booking.tenants n on n.id = p_tenant_id
    left join booking.staff s
      on s.tenant_id = p_tenant_id and s.external_id = r.content ->> 'staff'
    left join booking.locations l
      on l.tenant_id = p_tenant_id
      and l.id = booking_adoption.location_of(p_tenant_id, r.content ->> 'location')
    left join booking.appointment_types t
      on t.tenant_id = p_tenant_id and t.external_id = r.content ->> 'service'
    cross join lateral (
      select coalesce(r.content ->> 'time_zone', l.timezone, n.timezone) as name
    ) as z
    cross join lateral (
      select coalesce(
        (r.content ->> 'start_at')::timestamptz,
        (r.content ->> 'start_local')::timestamp at time zone z.name
      ) as start_time
    ) as begin
  ) as i
$$;

-- The source of busy times that mirror a section.
create or replace function booking_adoption.source_of(p_section text) returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select case p_section when 'appointments' then 'legacy' else 'legacy_busy_times' end
$$;

-- With p_is_locked nobody else is at work on the row.
--
-- An appointment of the old system is an appointment where there is one for it already, or where
-- pgbooking leads and it lies ahead and can be one; else it takes its time as a busy time.
create or replace function booking_adoption.follow_time(
  p_tenant_id uuid,
  p_section text,
  p_key text,
  p_content jsonb,
  p_is_locked boolean
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_source text := booking_adoption.source_of(p_section);
  v_is_gone boolean;
  v_time booking_adoption.followed_time;
  v_row_id uuid := booking_adoption.row_of(p_tenant_id, p_section, p_key);
  v_busy booking.busy_times;
  v_claim tstzrange;
begin
  select t.* into v_time
  from booking_adoption.times_of(p_tenant_id, jsonb_build_array(p_content)) t
  where p_content is not null;
  v_is_gone := p_content is null or v_time.status = 'cancelled';
  if not v_is_gone and v_time.problem is not null then
    raise exception using errcode = 'check_violation', message = v_time.problem;
  end if;

  -- An appointment's row before the calendar, as everywhere.
  perform
  from booking.appointments a
  where p_section = 'appointments' and a.tenant_id = p_tenant_id and a.id = v_row_id
  for update nowait;
  perform booking_adoption.lock_now(
    p_tenant_id,
    array(
      select v_time.staff_id
      union
      select b.staff_id from booking.busy_times b
      where b.tenant_id = p_tenant_id
        and (b.id = v_row_id or (b.source = v_source and b.external_id = p_key))
      union
      select a.staff_id from booking.appointments a
      where a.tenant_id = p_tenant_id and a.id = v_row_id
    )
  );

  v_row_id := booking_adoption.row_of(p_tenant_id, p_section, p_key);
  perform booking_adoption.wait_for_write(p_section, p_tenant_id, p_key, coalesce(v_row_id, (
    select b.id from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.source = v_source and b.external_id = p_key
  )));
  if p_section = 'appointments' and v_row_id is not null then
    -- Copied while it became an appointment somewhere else.
    delete from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.source = v_source and b.external_id = p_key;
    perform booking_adoption.follow_appointment(
      p_tenant_id, v_row_id, p_key, v_time, v_is_gone, p_content is null
    );
    return;
  end if;

  select b.* into v_busy
  from booking.busy_times b
  where b.tenant_id = p_tenant_id
    and (b.id = v_row_id or (b.source = v_source and b.external_id = p_key));
  if v_is_gone then
    perform booking_adoption.recheck_gone(v_busy.id, p_is_locked or p_content is not null);
    delete from booking.busy_times b where b.tenant_id = p_tenant_id and b.id = v_busy.id;
    delete from booking_adoption.links k
    where k.tenant_id = p_tenant_id and k.section = p_section and k.external_id = p_key;
    return;
  end if;

  if p_section = 'appointments' and v_time.appointment_problem is null
    and v_time.end_time > booking.now()
    and exists (
      select from booking_adoption.calendars c
      where c.tenant_id = p_tenant_id and c.staff_id = v_time.staff_id and c.is_switched
    )
    and booking_adoption.book(p_tenant_id, jsonb_build_array(p_content), p_is_new => true) > 0
  then
    return;
  end if;

  v_claim := booking.claim_of(
    v_time.start_time, v_time.end_time, v_time.buffer_before_minutes, v_time.buffer_after_minutes
  );
  if v_busy.id is null then
    insert into booking.busy_times (
      tenant_id, staff_id, start_time, end_time, source, external_id
    )
    values (p_tenant_id, v_time.staff_id, lower(v_claim), upper(v_claim), v_source, p_key);
  else
    update booking.busy_times b
    set staff_id = v_time.staff_id, start_time = lower(v_claim), end_time = upper(v_claim)
    where b.tenant_id = p_tenant_id and b.id = v_busy.id
      and (b.staff_id, b.start_time, b.end_time)
        is distinct from (v_time.staff_id, lower(v_claim), upper(v_claim));
  end if;
end
$$;

-- What the old system says of an appointment that is one here, too. Raises where it cannot be so:
-- the appointment stays as it was, and the row in the queue. Customers of pgbooking's own stay
-- theirs. History that the old system throws away is kept here.
create or replace function booking_adoption.follow_appointment(
  p_tenant_id uuid,
  p_id uuid,
  p_key text,
  p_time booking_adoption.followed_time,
  p_is_gone boolean,
  p_is_deleted boolean
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_status text;
  v_is_over boolean;
  v_shape_id uuid;
begin
  select a.status, a.end_time <= booking.now() into v_status, v_is_over
  from booking.appointments a where a.tenant_id = p_tenant_id and a.id = p_id;
  if p_is_deleted and v_is_over then
    delete from booking_adoption.links k
    where k.tenant_id = p_tenant_id and k.section = 'appointments' and k.external_id = p_key;
    return;
  end if;
  if p_is_gone then
    update booking.appointments a
    set status = 'cancelled', cancel_reason = coalesce(a.cancel_reason, 'cancelled there')
    where a.tenant_id = p_tenant_id and a.id = p_id and a.status <> 'cancelled';
    return;
  end if;
  if p_time.appointment_problem is not null then
    raise exception using errcode = 'check_violation', message = p_time.appointment_problem;
  end if;

  insert into booking_adoption.links (tenant_id, section, external_id, row_id)
  values (p_tenant_id, 'appointments', p_key, p_id)
  on conflict do nothing;
  -- Not yet paid is pgbooking's to know.
  if not (v_status = 'pending' and p_time.status = 'confirmed') then
    v_status := p_time.status;
  end if;
  -- A class is moved to its slot there.
  select t.shape_id into v_shape_id
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id and t.id = p_time.appointment_type_id and t.capacity > 1;

  update booking.appointments a
  set staff_id = p_time.staff_id, location_id = p_time.location_id,
    appointment_type_id = p_time.appointment_type_id, start_time = p_time.start_time,
    end_time = p_time.end_time, status = v_status,
    shape_id = coalesce(v_shape_id, a.shape_id),
    slot_id = coalesce(
      booking.slot_id(
        p_tenant_id, p_time.staff_id, p_time.location_id, p_time.start_time, v_shape_id
      ),
      a.slot_id
    )
  where a.tenant_id = p_tenant_id and a.id = p_id
    and (
      a.staff_id, a.location_id, a.appointment_type_id, a.start_time, a.end_time, a.status
    ) is distinct from (
      p_time.staff_id, p_time.location_id, p_time.appointment_type_id, p_time.start_time,
      p_time.end_time, v_status
    );
end
$$;

-- An appointment that comes from the old system has one id for ever, so that switching back and
-- forth does not rename it.
create or replace function booking_adoption.appointment_id(p_tenant_id uuid, p_key text)
returns uuid
language sql immutable parallel safe
set search_path = ''
as $$
  select overlay(
    overlay(md5(p_tenant_id::text || p_key) placing '5' from 13) placing '8' from 17
  )::uuid
$$;

-- Books rows of the old system, in order of time, each that can be; returns how many. Those that
-- overlap a live appointment, or one of the rows before them, are left out. Their busy times go. A
-- class is booked as its slot, because only there may people share one time. The caller holds the
-- calendars' locks. What is new (made there though pgbooking leads) has no external_id and so,
-- other than what is taken over, an event.
create or replace function booking_adoption.book(
  p_tenant_id uuid,
  p_rows jsonb,
  p_is_new boolean default false
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_keys text[];
  v_row jsonb;
  v_count integer := 0;
begin
  begin
    with booked as (
      insert into booking.appointments (
        tenant_id, id, staff_id, location_id, appointment_type_id, shape_id, slot_id, start_time,
        end_time, buffer_before_minutes, buffer_after_minutes, status, customer_id, customer, notes,
        price_cents, currency, source, external_id
      )
      select
        p_tenant_id, booking_adoption.appointment_id(p_tenant_id, i.external_id), i.staff_id,
        i.location_id, i.appointment_type_id, class.shape_id,
        booking.slot_id(p_tenant_id, i.staff_id, i.location_id, i.start_time, class.shape_id),
        i.start_time, i.end_time, i.buffer_before_minutes, i.buffer_after_minutes, i.status,
        (i.content ->> 'customer_id')::uuid, coalesce(i.content -> 'customer', '{}'),
        i.content ->> 'notes',
        coalesce((i.content ->> 'price_cents')::integer, t.price_cents),
        coalesce(i.content ->> 'currency', t.currency), 'legacy',
        case when not p_is_new then i.external_id end
      from booking_adoption.times_of(p_tenant_id, p_rows) i
      join booking.appointment_types t
        on t.tenant_id = p_tenant_id and t.id = i.appointment_type_id
      cross join lateral (select case when t.capacity > 1 then t.shape_id end as shape_id) as class
      where i.problem is null and i.appointment_problem is null and i.status <> 'cancelled'
        and booking_adoption.row_of(p_tenant_id, 'appointments', i.external_id) is null
      order by i.start_time, i.external_id
      on conflict do nothing
      returning id
    ),
    linked as (
      insert into booking_adoption.links (tenant_id, section, external_id, row_id)
      select p_tenant_id, 'appointments', i.content ->> 'external_id', b.id
      from jsonb_array_elements(p_rows) as i(content)
      join booked b
        on b.id = booking_adoption.appointment_id(p_tenant_id, i.content ->> 'external_id')
      returning external_id
    )
    select array_agg(k.external_id) into v_keys from linked k;
  exception when integrity_constraint_violation or data_exception then
    -- One of them cannot be one: each by itself.
    if jsonb_array_length(p_rows) = 1 then
      return 0;
    end if;
    for v_row in
      select i.content
      from booking_adoption.times_of(p_tenant_id, p_rows) i
      order by i.start_time, i.external_id
    loop
      v_count := v_count
        + booking_adoption.book(p_tenant_id, jsonb_build_array(v_row), p_is_new);
    end loop;
    return v_count;
  end;

  delete from booking.busy_times b
  where b.tenant_id = p_tenant_id and b.source = booking_adoption.source_of('appointments')
    and b.external_id = any (v_keys);
  return coalesce(cardinality(v_keys), 0);
end
$$;
