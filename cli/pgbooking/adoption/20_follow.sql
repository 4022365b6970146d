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
