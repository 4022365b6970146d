-- From pgbooking to the old tables, of calendars that are or were switched, and of rows that both
-- have.

-- Trigger on pgbooking's tables; its argument is the section. Deferred: it runs when everything
-- else of the transaction is done and every calendar locked, so that no old row is held by somebody
-- who waits. Runs as the role that has installed it.
create or replace function booking_adoption.write_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    perform booking_adoption.write(tg_argv[0], true, to_jsonb(old));
  else
    perform booking_adoption.write(tg_argv[0], false, to_jsonb(new));
  end if;
  return null;
end
$$;

-- Writes one row, or queues it with what went wrong: a booking does not fail for the old system.
-- What is not there, and has ended or is cancelled when it is entered here, is nothing new to tell.
create or replace function booking_adoption.write(
  p_section text,
  p_is_deleted boolean,
  p_row jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set lock_timeout = '10ms'
as $$
declare
  v_tenant_id uuid := (p_row ->> 'tenant_id')::uuid;
  v_row_id uuid := (p_row ->> 'id')::uuid;
  v_key text := booking_adoption.key_of(p_section, v_tenant_id, v_row_id, p_row);
  v_writing text := current_setting('booking_adoption.is_writing', true);
  v_state text;
  v_error text;
begin
  if v_key is null and (
    p_is_deleted or p_row ->> 'status' = 'cancelled'
    or (p_section <> 'hours' and (p_row ->> 'end_time')::timestamptz <= booking.now())
    or not exists (
      select from booking_adoption.calendars c
      where c.tenant_id = v_tenant_id and c.staff_id = (p_row ->> 'staff_id')::uuid
        and c.is_written
    )
  ) then
    return;
  end if;
  -- The mirror of an appointment of the old system is no busy time of its own.
  if p_section = 'busy_times' and p_row ->> 'source' = booking_adoption.source_of('appointments')
  then
    return;
  end if;

  perform set_config('booking_adoption.is_writing', 'there ' || p_section, true);
  begin
    perform booking_adoption.write_row(p_section, v_tenant_id, v_row_id, v_key, p_is_deleted);
  exception when query_canceled or assert_failure or others then
    get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
    insert into booking_adoption.queue (
      section, tenant, external_id, row_id, is_deleted, sqlstate, last_error
    )
    select p_section, t.external_id, v_key, v_row_id, p_is_deleted, v_state, v_error
    from booking_adoption.tenants t where t.tenant_id = v_tenant_id;
  end;
  perform set_config('booking_adoption.is_writing', coalesce(v_writing, ''), true);
end
$$;

-- The old system's key of a row of pgbooking's, if it has that row.
create or replace function booking_adoption.key_of(
  p_section text,
  p_tenant_id uuid,
  p_row_id uuid,
  p_row jsonb
) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select coalesce(
    (
      select k.external_id
      from booking_adoption.links k
      where k.tenant_id = p_tenant_id and k.section = p_section and k.row_id = p_row_id
    ),
    case
      when p_section = 'hours' then p_row ->> 'external_id'
      when p_section = 'busy_times'
        and p_row ->> 'source' = booking_adoption.source_of(p_section)
      then p_row ->> 'external_id'
    end
  )
$$;

-- Makes the old table agree with one row as it is now. Cancelled appointments keep their row there
-- if the map has a word for it. Nobody changes the row here meanwhile, or what is written would be
-- old. If the old system makes something else of it (a trigger there), that is followed later.
create or replace function booking_adoption.write_row(
  p_section text,
  p_tenant_id uuid,
  p_row_id uuid,
  p_key text,
  p_is_deleted boolean
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_wanted jsonb;
  v_old_key text;
  v_key text;
begin
  perform from booking.appointments a
  where p_section = 'appointments' and a.tenant_id = p_tenant_id and a.id = p_row_id
  for update nowait;
  perform from booking.working_hours h
  where p_section = 'hours' and h.tenant_id = p_tenant_id and h.id = p_row_id
  for update nowait;
  perform from booking.busy_times b
  where p_section = 'busy_times' and b.tenant_id = p_tenant_id and b.id = p_row_id
  for update nowait;
  v_wanted := booking_adoption.wanted(p_section, p_tenant_id, p_row_id);
  v_old_key := coalesce(
    (
      select k.external_id
      from booking_adoption.links k
      where k.tenant_id = p_tenant_id and k.section = p_section and k.row_id = p_row_id
    ),
    p_key
  );
  -- Gone from here without being deleted: the old row stands for something else by now.
  if (v_wanted is null and not p_is_deleted)
    or (v_old_key is null and coalesce(v_wanted ->> 'status' = 'cancelled', true) and (
      v_wanted is null or p_section = 'appointments'
    ))
  then
    return;
  end if;

  -- Cancelled there while it waited: that comes before whatever else has happened to it here.
  if p_section = 'appointments' and v_wanted ->> 'status' <> 'cancelled'
    and exists (
      select from booking_adoption.queue q
      where q.section = p_section and q.external_id = v_old_key and q.row_id is null
    )
    and booking_adoption.find_row(p_section, v_old_key, false) ->> 'status' = 'cancelled'
  then
    perform booking_adoption.follow_appointment(
      p_tenant_id, p_row_id, v_old_key, null, true, false
    );
    return;
  end if;

  v_key := booking_adoption.write_old_row(p_section, v_old_key, v_wanted);
  if v_key is distinct from v_old_key then
    delete from booking_adoption.links k
    where k.tenant_id = p_tenant_id and k.section = p_section and k.row_id = p_row_id;
    insert into booking_adoption.links (tenant_id, section, external_id, row_id)
    select p_tenant_id, p_section, v_key, p_row_id where v_key is not null;
  end if;
  if v_key is not null and v_wanted is not null
    and booking_adoption.changed_columns(
      p_section, booking_adoption.find_row(p_section, v_key, false), v_wanted
    ) <> jsonb_build_object()
  then
    insert into booking_adoption.queue (section, tenant, external_id)
    values (p_section, v_wanted ->> 'tenant', v_key);
  end if;
end
$$;

-- A row of pgbooking's in the map's terms, with its times both as instants and local; null if it is
-- not there. Raises where the old system does not know whom or what it names.
create or replace function booking_adoption.wanted(
  p_section text,
  p_tenant_id uuid,
  p_row_id uuid
) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_row jsonb;
  v_zone text;
  v_staff booking.staff;
  v_location booking.locations;
  v_type booking.appointment_types;
begin
  if p_section = 'appointments' then
    select to_jsonb(a) into v_row
    from booking.appointments a where a.tenant_id = p_tenant_id and a.id = p_row_id;
  elsif p_section = 'hours' then
    select to_jsonb(h) into v_row
    from booking.working_hours h where h.tenant_id = p_tenant_id and h.id = p_row_id;
  else
    select to_jsonb(b) into v_row
    from booking.busy_times b where b.tenant_id = p_tenant_id and b.id = p_row_id;
  end if;
  if v_row is null then
    return null;
  end if;

  select s.* into v_staff
  from booking.staff s where s.tenant_id = p_tenant_id and s.id = (v_row ->> 'staff_id')::uuid;
  select l.* into v_location
  from booking.locations l
  where l.tenant_id = p_tenant_id and l.id = (v_row ->> 'location_id')::uuid;
  select t.* into v_type
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id and t.id = (v_row ->> 'appointment_type_id')::uuid;
  if v_staff.external_id is null
    or (v_type.id is not null and v_type.external_id is null)
    or (
      v_location.id is not null and v_location.external_id is null
      and booking_adoption.has_section('locations')
    )
  then
    raise exception using
      errcode = 'foreign_key_violation',
      message = format(
        'the old system does not know %s: add it there, under the same name',
        case
          when v_staff.external_id is null then v_staff.display_name
          when v_type.id is not null and v_type.external_id is null then v_type.name
          else v_location.name
        end
      );
  end if;

  select coalesce(
    m.content -> 'sections' -> p_section ->> 'time_zone', v_location.timezone, t.timezone
  )
  into v_zone
  from booking.tenants t
  cross join booking_adoption.map m
  where t.id = p_tenant_id;

  return v_row || jsonb_build_object(
    'tenant', (
      select t.external_id from booking_adoption.tenants t where t.tenant_id = p_tenant_id
    ),
    'staff', v_staff.external_id,
    'location', v_location.external_id,
    'service', v_type.external_id,
    'zone', v_zone,
    'start_at', (v_row ->> 'start_time')::text,
    'end_at', v_row ->> 'end_time'
  ) || case
    when p_section = 'hours' then jsonb_build_object('end_at', null)
    else jsonb_build_object(
      'start_local', (v_row ->> 'start_time')::timestamptz at time zone v_zone,
      'end_local', (v_row ->> 'end_time')::timestamptz at time zone v_zone,
      'duration_minutes', extract(
        epoch from (v_row ->> 'end_time')::timestamptz - (v_row ->> 'start_time')::timestamptz
      )::integer / 60
    )
  end;
end
$$;

-- A local time that the old table reads back as another instant cannot stand there.
create or replace function booking_adoption.local_text(p_wanted jsonb, p_which text) returns text
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if (p_wanted ->> (p_which || '_local'))::timestamp at time zone (p_wanted ->> 'zone')
    <> (p_wanted ->> (p_which || '_at'))::timestamptz
  then
    raise exception using
      errcode = 'datetime_field_overflow',
      message = format(
        '%s local time %s comes twice in %s, and the old table means the later one', p_which,
        p_wanted ->> (p_which || '_local'), p_wanted ->> 'zone'
      );
  end if;
  return p_wanted ->> (p_which || '_local');
end
$$;
