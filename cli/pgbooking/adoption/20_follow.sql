-- From the old tables to pgbooking.

-- Called by the triggers on the old tables, as the role that has installed them.
create or replace function booking_adoption.follow(
  p_section text,
  p_tenants text[],
  p_keys text[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set lock_timeout = '10ms'
as $$
declare
  c_most_rows_at_once constant integer := 50;
  v_tenant text;
  v_key text;
  v_state text;
  v_error text;
begin
  if cardinality(p_keys) > c_most_rows_at_once
    or current_setting('transaction_isolation') <> 'read committed'
  then
    insert into booking_adoption.queue (section, tenant, external_id)
    select distinct p_section, k.tenant, k.key from unnest(p_tenants, p_keys) as k(tenant, key);
    return;
  end if;

  perform set_config('booking_adoption.is_writing', 'on', true);
  for v_tenant, v_key in
    select distinct k.tenant, k.key from unnest(p_tenants, p_keys) as k(tenant, key) order by 1, 2
  loop
    begin
      perform booking_adoption.follow_row(p_section, v_tenant, v_key);
    exception when query_canceled or assert_failure or others then
      get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
      insert into booking_adoption.queue (section, tenant, external_id, sqlstate, last_error)
      values (p_section, v_tenant, v_key, v_state, v_error);
    end;
  end loop;
  perform set_config('booking_adoption.is_writing', 'off', true);
end
$$;

-- Everything is gone: each row that was followed goes to the queue.
create or replace function booking_adoption.follow_truncate(p_section text) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  insert into booking_adoption.queue (section, tenant, external_id)
  select p_section, t.external_id, k.external_id
  from booking_adoption.tenants t
  cross join lateral booking_adoption.known_keys(p_section, t.tenant_id) as k(external_id);
end
$$;

-- The keys of the old rows that pgbooking has taken over.
create or replace function booking_adoption.known_keys(p_section text, p_tenant_id uuid)
returns setof text
language sql stable parallel safe
set search_path = ''
as $$
  select t.external_id from booking_adoption.tenants t
  where p_section = 'tenants' and t.tenant_id = p_tenant_id
  union all
  select l.external_id from booking.locations l
  where p_section = 'locations' and l.tenant_id = p_tenant_id and l.external_id is not null
  union all
  select t.external_id from booking.appointment_types t
  where p_section = 'services' and t.tenant_id = p_tenant_id and t.external_id is not null
  union all
  select s.external_id from booking.staff s
  where p_section = 'staff' and s.tenant_id = p_tenant_id and s.external_id is not null
  union all
  select jsonb_build_array(s.external_id, t.external_id)::text
  from booking.staff_appointment_types o
  join booking.staff s on s.tenant_id = o.tenant_id and s.id = o.staff_id
  join booking.appointment_types t on t.tenant_id = o.tenant_id and t.id = o.appointment_type_id
  where p_section = 'offers' and o.tenant_id = p_tenant_id
    and s.external_id is not null and t.external_id is not null
  union all
  select h.external_id from booking.working_hours h
  where p_section = 'hours' and h.tenant_id = p_tenant_id and h.external_id is not null
  union all
  select b.external_id from booking.busy_times b
  where p_section in ('appointments', 'busy_times') and b.tenant_id = p_tenant_id
    and b.source = booking_adoption.source_of(p_section)
  union all
  select k.external_id from booking_adoption.links k
  where k.tenant_id = p_tenant_id and k.section = p_section
$$;

-- Makes pgbooking agree with one row as it is now; with p_lock nobody changes it meanwhile. A row
-- that is not there, or no longer this tenant's, is gone. Takes every lock without waiting.
create or replace function booking_adoption.follow_row(
  p_section text,
  p_tenant text,
  p_key text,
  p_lock boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_content jsonb := booking_adoption.find_row(p_section, p_key, p_lock);
  v_tenant_id uuid;
begin
  if p_section = 'tenants' then
    perform booking_adoption.follow_tenant(p_key, v_content);
    return;
  end if;
  if p_tenant is not null and v_content ->> 'tenant' is distinct from p_tenant then
    v_content := null;
  end if;

  -- The tenant of a row that went with what named it is not known: whoever has such a row.
  for v_tenant_id in
    select t.tenant_id
    from booking_adoption.tenants t
    where t.external_id = coalesce(v_content ->> 'tenant', p_tenant, t.external_id)
  loop
    case p_section
      when 'locations' then
        perform booking_adoption.follow_location(v_tenant_id, p_key, v_content);
      when 'services' then
        perform booking_adoption.follow_service(v_tenant_id, p_key, v_content);
      when 'staff' then
        perform booking_adoption.follow_staff(v_tenant_id, p_key, v_content);
      when 'offers' then
        perform booking_adoption.follow_offer(v_tenant_id, p_key, v_content);
      when 'hours' then
        perform booking_adoption.follow_hours(v_tenant_id, p_key, v_content);
      else
        perform booking_adoption.follow_time(v_tenant_id, p_section, p_key, v_content, p_lock);
    end case;
  end loop;

  if v_tenant_id is null and v_content is not null then
    raise exception using
      errcode = 'foreign_key_violation',
      message = format('tenant "%s" is not known here', v_content ->> 'tenant');
  end if;
end
$$;

-- Locks without waiting, in the order in which everybody locks.
create or replace function booking_adoption.lock_now(p_tenant_id uuid, p_staff_ids uuid[])
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform
  from booking.calendars c
  where c.tenant_id = p_tenant_id and c.staff_id = any (p_staff_ids)
  order by c.staff_id
  for no key update nowait;
end
$$;

create or replace function booking_adoption.lock_tenant_now(p_tenant_id uuid) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform from booking.tenants t where t.id = p_tenant_id for no key update nowait;
  perform booking_adoption.lock_now(
    p_tenant_id, array(select c.staff_id from booking.calendars c where c.tenant_id = p_tenant_id)
  );
end
$$;

create or replace function booking_adoption.has_section(p_section text) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select m.content -> 'sections' ? p_section from booking_adoption.map m
$$;

-- A tenant is found by its key, else by its slug, else made. One that is gone is deactivated.
create or replace function booking_adoption.follow_tenant(p_key text, p_content jsonb) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid;
begin
  select t.tenant_id into v_tenant_id from booking_adoption.tenants t where t.external_id = p_key;
  if p_content is null then
    perform booking_adoption.lock_tenant_now(v_tenant_id);
    update booking.tenants t set is_active = false where t.id = v_tenant_id and t.is_active;
    return;
  end if;
  if exists (
    select from booking.tenants t
    where t.id = v_tenant_id
      and (t.name, t.timezone, t.is_active) is not distinct from
        (p_content ->> 'name', p_content ->> 'time_zone', (p_content ->> 'is_active')::boolean)
  ) then
    return;
  end if;

  if v_tenant_id is null then
    select s.tenant_id into v_tenant_id
    from booking.tenant_slugs s where s.slug = p_content ->> 'slug';
    if v_tenant_id is null then
      insert into booking.tenants (name, timezone)
      values (p_content ->> 'name', p_content ->> 'time_zone')
      returning id into v_tenant_id;
      insert into booking.tenant_slugs (slug, tenant_id)
      select p_content ->> 'slug', v_tenant_id where p_content ->> 'slug' is not null;
    end if;
    -- One that comes after the first copy has nothing to be copied.
    insert into booking_adoption.tenants (tenant_id, external_id, copied_at)
    select v_tenant_id, p_key, case when max(t.copied_at) is not null then booking.now() end
    from booking_adoption.tenants t;
  else
    perform booking_adoption.lock_tenant_now(v_tenant_id);
  end if;

  update booking.tenants t
  set name = p_content ->> 'name', timezone = p_content ->> 'time_zone',
    is_active = (p_content ->> 'is_active')::boolean
  where t.id = v_tenant_id
    and (t.name, t.timezone, t.is_active) is distinct from
      (p_content ->> 'name', p_content ->> 'time_zone', (p_content ->> 'is_active')::boolean);

  -- The old system knows no places: everything is at one.
  if not booking_adoption.has_section('locations')
    and not exists (select from booking.locations l where l.tenant_id = v_tenant_id)
  then
    insert into booking.locations (tenant_id, name)
    values (v_tenant_id, coalesce(p_content ->> 'location', p_content ->> 'name'));
  end if;
end
$$;

-- Places, services and people are found by their key, else by the name that one without a key has,
-- else made. What is gone is deactivated, because history names it.
create or replace function booking_adoption.follow_location(
  p_tenant_id uuid,
  p_key text,
  p_content jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_id uuid;
begin
  if exists (
    select from booking.locations l
    where l.tenant_id = p_tenant_id and l.external_id = p_key
      and (l.name, l.timezone, l.is_active) is not distinct from
        (p_content ->> 'name', p_content ->> 'time_zone', (p_content ->> 'is_active')::boolean)
  ) then
    return;
  end if;
  perform booking_adoption.lock_tenant_now(p_tenant_id);
  select l.id into v_id
  from booking.locations l
  where l.tenant_id = p_tenant_id
    and (l.external_id = p_key or (l.external_id is null and l.name = p_content ->> 'name'))
  order by l.external_id
  limit 1;

  if p_content is null then
    update booking.locations l
    set is_active = false where l.tenant_id = p_tenant_id and l.id = v_id and l.is_active;
  elsif v_id is null then
    insert into booking.locations (tenant_id, name, timezone, is_active, external_id)
    values (
      p_tenant_id, p_content ->> 'name', p_content ->> 'time_zone',
      (p_content ->> 'is_active')::boolean, p_key
    );
  else
    update booking.locations l
    set name = p_content ->> 'name', timezone = p_content ->> 'time_zone',
      is_active = (p_content ->> 'is_active')::boolean, external_id = p_key
    where l.tenant_id = p_tenant_id and l.id = v_id;
  end if;
end
$$;

create or replace function booking_adoption.follow_service(
  p_tenant_id uuid,
  p_key text,
  p_content jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_id uuid;
  v_code text := coalesce(p_content ->> 'code', p_key);
  v_row booking.appointment_types;
  v_wanted booking.appointment_types;
begin
  select t.* into v_row
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id
    and (t.external_id = p_key or (t.external_id is null and t.code = v_code))
  order by t.external_id
  limit 1;
  -- What the map does not have is pgbooking's own business.
  v_wanted := jsonb_populate_record(
    v_row,
    case
      when p_content is null then jsonb_build_object('is_active', v_row.id is null)
      else jsonb_strip_nulls(p_content - 'tenant')
        || jsonb_build_object('code', v_code, 'external_id', p_key)
    end
  );
  if v_row is not distinct from v_wanted then
    return;
  end if;

  perform booking_adoption.lock_tenant_now(p_tenant_id);
  v_id := v_row.id;
  if v_id is null and p_content is null then
    return;
  elsif v_id is null then
    insert into booking.appointment_types (tenant_id, code, name, duration_minutes, external_id)
    values (
      p_tenant_id, v_code, p_content ->> 'name', (p_content ->> 'duration_minutes')::integer, p_key
    )
    returning id into v_id;
  end if;

  update booking.appointment_types t
  set code = v_wanted.code, name = v_wanted.name, duration_minutes = v_wanted.duration_minutes,
    buffer_before_minutes = coalesce(v_wanted.buffer_before_minutes, t.buffer_before_minutes),
    buffer_after_minutes = coalesce(v_wanted.buffer_after_minutes, t.buffer_after_minutes),
    price_cents = coalesce(v_wanted.price_cents, t.price_cents),
    currency = coalesce(v_wanted.currency, t.currency),
    is_active = coalesce(v_wanted.is_active, t.is_active), external_id = v_wanted.external_id
  where t.tenant_id = p_tenant_id and t.id = v_id;

  perform booking_adoption.offer_everything(p_tenant_id, null, v_id);
end
$$;

create or replace function booking_adoption.follow_staff(
  p_tenant_id uuid,
  p_key text,
  p_content jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_id uuid;
begin
  select s.id into v_id
  from booking.staff s
  where s.tenant_id = p_tenant_id
    and (s.external_id = p_key or (s.external_id is null and s.display_name = p_content ->> 'name'))
  order by s.external_id
  limit 1;
  if exists (
    select
    from booking.staff s
    join booking_adoption.calendars c on c.tenant_id = s.tenant_id and c.staff_id = s.id
    where s.tenant_id = p_tenant_id and s.id = v_id
      and (s.external_id, s.display_name, s.is_active) is not distinct from
        (p_key, p_content ->> 'name', (p_content ->> 'is_active')::boolean)
  ) then
    return;
  end if;
  perform from booking.tenants t where t.id = p_tenant_id for share nowait;
  perform booking_adoption.lock_now(p_tenant_id, array[v_id]);

  if p_content is null then
    update booking.staff s
    set is_active = false where s.tenant_id = p_tenant_id and s.id = v_id and s.is_active;
    return;
  elsif v_id is null then
    insert into booking.staff (tenant_id, display_name, is_active, external_id)
    values (
      p_tenant_id, p_content ->> 'name', (p_content ->> 'is_active')::boolean, p_key
    )
    returning id into v_id;
  else
    update booking.staff s
    set display_name = p_content ->> 'name', is_active = (p_content ->> 'is_active')::boolean,
      external_id = p_key
    where s.tenant_id = p_tenant_id and s.id = v_id
      and (s.display_name, s.is_active, s.external_id) is distinct from
        (p_content ->> 'name', (p_content ->> 'is_active')::boolean, p_key);
  end if;

  insert into booking_adoption.calendars (tenant_id, staff_id, is_switched, is_written)
  select t.tenant_id, v_id, t.is_switched, t.is_switched
  from booking_adoption.tenants t where t.tenant_id = p_tenant_id
  on conflict (tenant_id, staff_id) do nothing;
  -- Somebody new after the first copy; their rows may have been there before them.
  if found then
    insert into booking_adoption.queue (section, tenant, external_id)
    select 'calendars', t.external_id, p_key
    from booking_adoption.tenants t where t.tenant_id = p_tenant_id and t.copied_at is not null;
  end if;
  perform booking_adoption.offer_everything(p_tenant_id, v_id, null);
end
$$;

-- Where the old system does not say who offers what, everybody offers everything: of somebody or
-- something new. Not while the first copy is under way: copy_offers does it all at once.
create or replace function booking_adoption.offer_everything(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_type_id uuid
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if booking_adoption.has_section('offers') or exists (
    select from booking_adoption.tenants t
    where t.tenant_id = p_tenant_id and t.copied_at is null
  ) then
    return;
  end if;
  insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
  select p_tenant_id, s.id, t.id
  from booking.staff s
  join booking.appointment_types t on t.tenant_id = s.tenant_id
  where s.tenant_id = p_tenant_id and s.external_id is not null and t.external_id is not null
    and (p_staff_id is null or s.id = p_staff_id) and (p_type_id is null or t.id = p_type_id)
    and not exists (
      select from booking.staff_appointment_types o
      where o.tenant_id = p_tenant_id and o.staff_id = s.id and o.appointment_type_id = t.id
    )
  order by s.id, t.id;
end
$$;

-- The key of who offers what is an array of both keys.
create or replace function booking_adoption.follow_offer(
  p_tenant_id uuid,
  p_key text,
  p_content jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_staff_id uuid;
  v_type_id uuid;
begin
  select s.id into v_staff_id
  from booking.staff s where s.tenant_id = p_tenant_id and s.external_id = p_key::jsonb ->> 0;
  select t.id into v_type_id
  from booking.appointment_types t
  where t.tenant_id = p_tenant_id and t.external_id = p_key::jsonb ->> 1;
  perform from booking.tenants t where t.id = p_tenant_id for share nowait;
  perform booking_adoption.lock_now(p_tenant_id, array[v_staff_id]);

  if p_content is null then
    delete from booking.staff_appointment_types o
    where o.tenant_id = p_tenant_id and o.staff_id = v_staff_id
      and o.appointment_type_id = v_type_id;
    return;
  end if;
  perform booking_adoption.need('staff', p_key::jsonb ->> 0, v_staff_id);
  perform booking_adoption.need('service', p_key::jsonb ->> 1, v_type_id);
  if not exists (
    select from booking.staff_appointment_types o
    where o.tenant_id = p_tenant_id and o.staff_id = v_staff_id
      and o.appointment_type_id = v_type_id
  ) then
    insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
    values (p_tenant_id, v_staff_id, v_type_id);
  end if;
end
$$;

create or replace function booking_adoption.need(p_what text, p_key text, p_id uuid) returns void
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_id is null then
    raise exception using
      errcode = 'foreign_key_violation',
      message = coalesce(
        format('%s "%s" is not known here', p_what, p_key), format('%s is empty', p_what)
      );
  end if;
end
$$;

-- Where a row of the old system is: at the place it names, else at the tenant's only one.
create or replace function booking_adoption.location_of(p_tenant_id uuid, p_key text) returns uuid
language sql stable parallel safe
set search_path = ''
as $$
  select case
    when p_key is not null then (
      select l.id from booking.locations l
      where l.tenant_id = p_tenant_id and l.external_id = p_key
    )
    else (
      select min(l.id::text)::uuid from booking.locations l
      where l.tenant_id = p_tenant_id and l.is_active
      having count(*) = 1
    )
  end
$$;

create or replace function booking_adoption.follow_hours(
  p_tenant_id uuid,
  p_key text,
  p_content jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_row booking.working_hours;
  v_staff_id uuid;
  v_location_id uuid := booking_adoption.location_of(p_tenant_id, p_content ->> 'location');
  v_weekday integer;
begin
  select h.* into v_row
  from booking.working_hours h
  where h.tenant_id = p_tenant_id and (
    h.external_id = p_key or h.id = booking_adoption.row_of(p_tenant_id, 'hours', p_key)
  );
  select s.id into v_staff_id
  from booking.staff s
  where s.tenant_id = p_tenant_id and s.external_id = p_content ->> 'staff';

  perform from booking.tenants t where t.id = p_tenant_id for share nowait;
  perform booking_adoption.lock_now(p_tenant_id, array[v_row.staff_id, v_staff_id]);

  if booking_adoption.is_to_be_written(v_row.id) then
    return;
  end if;
  if p_content is null then
    delete from booking.working_hours h where h.tenant_id = p_tenant_id and h.id = v_row.id;
    delete from booking_adoption.links k
    where k.tenant_id = p_tenant_id and k.section = 'hours' and k.external_id = p_key;
    return;
  end if;

  perform booking_adoption.need('staff', p_content ->> 'staff', v_staff_id);
  perform booking_adoption.need('location', p_content ->> 'location', v_location_id);
  v_weekday := case
    when p_content ->> 'weekday' ~ '^\d+$' then (p_content ->> 'weekday')::integer
    else array_position(
      array['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
      lower(left(p_content ->> 'weekday', 3))
    )
  end;

  if v_row.id is null then
    insert into booking.working_hours (
      tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from, valid_until,
      external_id
    )
    values (
      p_tenant_id, v_staff_id, v_location_id, v_weekday, (p_content ->> 'start_time')::time,
      (p_content ->> 'end_time')::time, (p_content ->> 'valid_from')::date,
      (p_content ->> 'valid_until')::date, p_key
    );
  else
    update booking.working_hours h
    set staff_id = v_staff_id, location_id = v_location_id, weekday = v_weekday,
      start_time = (p_content ->> 'start_time')::time,
      end_time = (p_content ->> 'end_time')::time,
      valid_from = (p_content ->> 'valid_from')::date,
      valid_until = (p_content ->> 'valid_until')::date
    where h.tenant_id = p_tenant_id and h.id = v_row.id
      and (
        h.staff_id, h.location_id, h.weekday, h.start_time, h.end_time, h.valid_from, h.valid_until
      ) is distinct from (
        v_staff_id, v_location_id, v_weekday, (p_content ->> 'start_time')::time,
        (p_content ->> 'end_time')::time, (p_content ->> 'valid_from')::date,
        (p_content ->> 'valid_until')::date
      );
  end if;
end
$$;

-- What happened here and is not written there yet comes before what stands there.
create or replace function booking_adoption.is_to_be_written(p_row_id uuid) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (select from booking_adoption.queue q where q.row_id = p_row_id)
$$;

-- The row of pgbooking's own that an old row stands for.
create or replace function booking_adoption.row_of(
  p_tenant_id uuid,
  p_section text,
  p_key text
) returns uuid
language sql stable parallel safe
set search_path = ''
as $$
  select k.row_id
  from booking_adoption.links k
  where k.tenant_id = p_tenant_id and k.section = p_section and k.external_id = p_key
$$;

-- Appointments and busy times of the old system, resolved: who, where, what, from when to when. Local
-- times are read in the map's zone, the place's or the tenant's, and AT TIME ZONE takes the later of
-- two instants where clocks change. problem says why a row cannot be taken over at all,
-- appointment_problem why it can be a busy time only.
create or replace function booking_adoption.times_of(p_tenant_id uuid, p_rows jsonb)
returns table (
  external_id text, staff_id uuid, location_id uuid, appointment_type_id uuid,
  start_time timestamptz, end_time timestamptz, buffer_before_minutes integer,
  buffer_after_minutes integer, status text, problem text, appointment_problem text, content jsonb
)
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
  v_time record;
  v_row_id uuid := booking_adoption.row_of(p_tenant_id, p_section, p_key);
  v_busy booking.busy_times;
  v_appointment booking.appointments;
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
  if booking_adoption.is_to_be_written(coalesce(v_row_id, (
    select b.id from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.source = v_source and b.external_id = p_key
  ))) then
    return;
  end if;
  if p_section = 'appointments' and v_row_id is not null then
    select a.* into v_appointment
    from booking.appointments a where a.tenant_id = p_tenant_id and a.id = v_row_id;
    perform booking_adoption.follow_appointment(v_appointment, v_time, v_is_gone);
    return;
  end if;

  select b.* into v_busy
  from booking.busy_times b
  where b.tenant_id = p_tenant_id
    and (b.id = v_row_id or (b.source = v_source and b.external_id = p_key));
  if v_is_gone then
    -- Somebody who copies this person's calendar may still see the row that is being deleted.
    if v_busy.id is null and p_content is null and not p_is_locked then
      raise exception using
        errcode = 'serialization_failure', message = 'it is gone, and may be being copied';
    end if;
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

-- What the old system says of an appointment that is one here, too. Raises where it cannot be so: the
-- appointment stays as it was, and the row in the queue. Customers of pgbooking's own stay theirs.
create or replace function booking_adoption.follow_appointment(
  p_appointment booking.appointments,
  p_time record,
  p_is_gone boolean
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_status text := p_appointment.status;
begin
  if p_is_gone then
    update booking.appointments a
    set status = 'cancelled', cancel_reason = coalesce(a.cancel_reason, 'cancelled there')
    where a.tenant_id = p_appointment.tenant_id and a.id = p_appointment.id
      and a.status <> 'cancelled';
    return;
  end if;
  if p_time.appointment_problem is not null then
    raise exception using errcode = 'check_violation', message = p_time.appointment_problem;
  end if;
  -- Not yet paid is pgbooking's to know.
  if not (v_status = 'pending' and p_time.status = 'confirmed') then
    v_status := p_time.status;
  end if;

  update booking.appointments a
  set staff_id = p_time.staff_id, location_id = p_time.location_id,
    appointment_type_id = p_time.appointment_type_id, start_time = p_time.start_time,
    end_time = p_time.end_time, status = v_status
  where a.tenant_id = p_appointment.tenant_id and a.id = p_appointment.id
    and (
      a.staff_id, a.location_id, a.appointment_type_id, a.start_time, a.end_time, a.status
    ) is distinct from (
      p_time.staff_id, p_time.location_id, p_time.appointment_type_id, p_time.start_time,
      p_time.end_time, v_status
    );
end
$$;

-- An appointment that comes from the old system has one id for ever, so that switching back and forth
-- does not rename it.
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
-- calendars' locks. What is new (made there though pgbooking leads) has no external_id and so, other
-- than what is taken over, an event.
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
