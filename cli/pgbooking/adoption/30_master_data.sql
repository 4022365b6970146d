-- Tenants, places, services, people, who offers what, and hours: each row of the old system as it
-- is here, found by its key.

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
    -- A tenant that is there already is taken over by whoever runs the command, not by a row.
    select s.tenant_id into v_tenant_id
    from booking.tenant_slugs s where s.slug = p_content ->> 'slug';
    if v_tenant_id is not null
      and coalesce(current_setting('booking_adoption.is_writing', true), '') <> 'copying'
    then
      raise exception using
        errcode = 'unique_violation',
        message = format('the slug "%s" is another tenant''s here', p_content ->> 'slug');
    end if;
    if v_tenant_id is null then
      insert into booking.tenants (name, timezone)
      values (p_content ->> 'name', p_content ->> 'time_zone')
      returning id into v_tenant_id;
      insert into booking.tenant_slugs (slug, tenant_id)
      select p_content ->> 'slug', v_tenant_id where p_content ->> 'slug' is not null;
    end if;
    -- One that comes after the first copy has nothing to be copied.
    insert into booking_adoption.tenants (tenant_id, external_id, is_switched, copied_at)
    select v_tenant_id, p_key, coalesce(bool_and(t.is_switched), false),
      case when max(t.copied_at) is not null then booking.now() end
    from booking_adoption.tenants t;
  else
    perform booking_adoption.lock_tenant_now(v_tenant_id);
  end if;

  if exists (
    select from booking.tenants t
    where t.id = v_tenant_id and t.timezone <> p_content ->> 'time_zone'
  ) then
    perform booking_adoption.copy_later(v_tenant_id);
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

-- Zones and lengths say when and for how long appointments are: every calendar is copied anew.
create or replace function booking_adoption.copy_later(p_tenant_id uuid) returns void
language sql volatile parallel unsafe
set search_path = ''
as $$
  insert into booking_adoption.queue (section, tenant, external_id)
  select 'calendars', t.external_id, s.external_id
  from booking_adoption.calendars c
  join booking_adoption.tenants t on t.tenant_id = c.tenant_id and t.copied_at is not null
  join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id
  where c.tenant_id = p_tenant_id and s.external_id is not null
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
    return;
  end if;
  if exists (
    select from booking.locations l
    where l.tenant_id = p_tenant_id and l.id = v_id
      and l.timezone is distinct from p_content ->> 'time_zone'
  ) then
    perform booking_adoption.copy_later(p_tenant_id);
  end if;
  if v_id is null then
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

  if v_row.duration_minutes <> v_wanted.duration_minutes then
    perform booking_adoption.copy_later(p_tenant_id);
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

-- Somebody who copies may still see a row that is being deleted, and it is not here yet.
create or replace function booking_adoption.recheck_gone(p_id uuid, p_is_locked boolean)
returns void
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_id is null and not p_is_locked then
    raise exception using
      errcode = 'serialization_failure', message = 'it is gone, and may be being copied';
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
  p_content jsonb,
  p_is_locked boolean
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

  perform booking_adoption.wait_for_write('hours', p_tenant_id, p_key, v_row.id);
  if p_content is null then
    perform booking_adoption.recheck_gone(v_row.id, p_is_locked);
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
