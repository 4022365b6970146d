-- From the old tables to pgbooking.

-- Called by the triggers on the old tables, as the role that has installed them. What concerns many
-- calendars is only queued: publishing all of them would hold the old transaction up, and the old
-- transaction would hold them up until it ends.
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
  v_writing text := coalesce(current_setting('booking_adoption.is_writing', true), '');
  v_tenants text[];
  v_keys text[];
  v_count integer;
  v_state text;
  v_error text;
begin
  select array_agg(k.tenant), array_agg(k.key), count(*) into v_tenants, v_keys, v_count
  from (
    select distinct k.tenant, k.key
    from unnest(p_tenants, p_keys) as k(tenant, key)
    order by 1, 2
  ) as k;

  -- What the old system itself does in answer to a row that pgbooking writes is followed later.
  if p_section in ('tenants', 'locations', 'services') or v_count > c_most_rows_at_once
    or v_writing <> '' or current_setting('transaction_isolation') <> 'read committed'
  then
    insert into booking_adoption.queue (section, tenant, external_id)
    select p_section, k.tenant, k.key from unnest(v_tenants, v_keys) as k(tenant, key);
    return;
  end if;

  perform set_config('booking_adoption.is_writing', 'here', true);
  -- Rows that give way to each other in one statement find their place in a later round.
  while v_count > 0 loop
    v_count := 0;
    for i in 1 .. cardinality(v_keys) loop
      continue when v_keys[i] is null;
      begin
        perform booking_adoption.follow_row(p_section, v_tenants[i], v_keys[i]);
        v_keys[i] := null;
        v_count := v_count + 1;
      exception when exclusion_violation then
        null;
      when query_canceled or assert_failure or others then
        get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
        insert into booking_adoption.queue (section, tenant, external_id, sqlstate, last_error)
        values (p_section, v_tenants[i], v_keys[i], v_state, v_error);
        v_keys[i] := null;
      end;
    end loop;
    exit when array_remove(v_keys, null) = '{}';
  end loop;
  insert into booking_adoption.queue (section, tenant, external_id, sqlstate, last_error)
  select p_section, k.tenant, k.key, '23P01',
    'it overlaps another appointment here, or leaves no time to travel from or to one'
  from unnest(v_tenants, v_keys) as k(tenant, key)
  where k.key is not null;
  perform set_config('booking_adoption.is_writing', '', true);
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

-- Tenants that have a row of that key, for a row whose tenant went with it.
create or replace function booking_adoption.tenants_with(p_section text, p_key text)
returns setof text
language sql stable parallel safe
set search_path = ''
as $$
  select t.external_id
  from booking_adoption.tenants t
  where case p_section
    when 'staff' then exists (
      select from booking.staff s where s.tenant_id = t.tenant_id and s.external_id = p_key
    )
    when 'offers' then exists (
      select from booking.staff s
      where s.tenant_id = t.tenant_id and s.external_id = p_key::jsonb ->> 0
    )
    when 'hours' then exists (
      select from booking.working_hours h
      where h.tenant_id = t.tenant_id and h.external_id = p_key
    )
    when 'locations' then exists (
      select from booking.locations l where l.tenant_id = t.tenant_id and l.external_id = p_key
    )
    when 'services' then exists (
      select from booking.appointment_types y
      where y.tenant_id = t.tenant_id and y.external_id = p_key
    )
    else exists (
      select from booking.busy_times b
      where b.tenant_id = t.tenant_id and b.source = booking_adoption.source_of(p_section)
        and b.external_id = p_key
    )
  end or exists (
    select from booking_adoption.links k
    where k.tenant_id = t.tenant_id and k.section = p_section and k.external_id = p_key
  )
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
  -- A row that concerns many calendars would be locked for as long as they take.
  v_is_locked boolean := p_lock and p_section in ('hours', 'busy_times', 'appointments');
  v_content jsonb := booking_adoption.find_row(p_section, p_key, v_is_locked);
  v_tenant text := coalesce(p_tenant, v_content ->> 'tenant');
  v_tenant_id uuid;
begin
  if p_section = 'tenants' then
    perform booking_adoption.follow_tenant(p_key, v_content);
  elsif v_content is not null and v_content ->> 'tenant' is null then
    raise exception using errcode = 'not_null_violation', message = 'tenant is empty';
  elsif v_tenant is null then
    for v_tenant in select booking_adoption.tenants_with(p_section, p_key) loop
      perform booking_adoption.follow_row(p_section, v_tenant, p_key, p_lock);
    end loop;
  else
    if v_content ->> 'tenant' <> v_tenant then
      v_content := null;
    end if;
    select t.tenant_id into v_tenant_id
    from booking_adoption.tenants t where t.external_id = v_tenant;
    if v_tenant_id is null then
      if v_content is null then
        return;
      end if;
      raise exception using
        errcode = 'foreign_key_violation',
        message = format('tenant "%s" is not known here', v_tenant);
    end if;
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
        perform booking_adoption.follow_hours(v_tenant_id, p_key, v_content, v_is_locked);
      else
        perform booking_adoption.follow_time(
          v_tenant_id, p_section, p_key, v_content, v_is_locked
        );
    end case;
  end if;

  if p_lock and not v_is_locked
    and booking_adoption.find_row(p_section, p_key, false) is distinct from v_content
    and v_content is not null
  then
    raise exception using
      errcode = 'serialization_failure', message = 'it was changed meanwhile';
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

-- What happened here and is not written there yet comes before what stands there: the old row waits
-- until it is.
create or replace function booking_adoption.wait_for_write(
  p_section text,
  p_tenant_id uuid,
  p_key text,
  p_row_id uuid
) returns void
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if booking_adoption.is_to_be_written(p_section, p_tenant_id, p_key, p_row_id) then
    raise exception using
      errcode = 'serialization_failure',
      message = 'it has changed here, too, and that is not written there yet';
  end if;
end
$$;

create or replace function booking_adoption.is_to_be_written(
  p_section text,
  p_tenant_id uuid,
  p_key text,
  p_row_id uuid
) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (select from booking_adoption.queue q where q.row_id = p_row_id) or exists (
    select
    from booking_adoption.queue q
    join booking_adoption.tenants t on t.external_id = q.tenant
    where q.section = p_section and q.external_id = p_key and q.row_id is not null
      and t.tenant_id = p_tenant_id
  )
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
  select coalesce(
    (
      select k.row_id
      from booking_adoption.links k
      where k.tenant_id = p_tenant_id and k.section = p_section and k.external_id = p_key
    ),
    -- Left by an adoption that was finished.
    (
      select a.id
      from booking.appointments a
      where p_section = 'appointments' and a.tenant_id = p_tenant_id
        and a.id = booking_adoption.appointment_id(p_tenant_id, p_key)
    )
  )
$$;
