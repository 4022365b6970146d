-- A whole week of one person, and the same week for colleagues, in one transaction: from valid_from
-- on (null: altogether) the weekly hours are these and no others. What was valid before ends the
-- day before; what would have begun later is deleted, seasons included. An empty list is a week
-- without work. Rows that are there already stay, so the same call again changes nothing. Holds
-- and appointments stay.
--
-- For the tenant's admins and the service; staff set their own week. Locks the tenant (shared),
-- the rows of hours by id, then the calendars by staff_id; then writes. Refuses: not_authenticated,
-- not_found (missing and foreign look alike), forbidden (a colleague's), invalid_request.
create or replace function booking.set_working_hours(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_rows constant integer := 100;
  -- Each is recalculated until the horizon, and callers have seconds.
  c_most_people constant integer := 10;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_valid_from date := (p_request ->> 'valid_from')::date;
  v_staff_ids uuid[];
begin
  if booking.caller_id() is null and booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('not_authenticated', 'Nobody is signed in.', null, 'Sign in.');
  end if;
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_given('staff_id', v_staff_id::text, 'the id of a person');
  perform booking.require_date('valid_from', v_valid_from);

  v_staff_ids := array(
    select v_staff_id
    union
    select c.id::uuid
    from jsonb_array_elements_text(p_request -> 'copy_to_staff_ids') as c(id)
    where c.id is not null
  );
  if cardinality(v_staff_ids) > c_most_people then
    perform booking.refuse('invalid_request', format(
      'staff_id and copy_to_staff_ids name %s people; expected at most %s.',
      cardinality(v_staff_ids), c_most_people
    ));
  end if;

  if not booking.caller_is_member(v_tenant_id) or (
    select count(*)
    from booking.staff s
    where s.tenant_id = v_tenant_id and s.id = any (v_staff_ids)
  ) < cardinality(v_staff_ids) then
    perform booking.refuse('not_found', 'There is no such person.');
  end if;
  if exists (
    select from unnest(v_staff_ids) as s(id)
    where not booking.caller_may_write(v_tenant_id, s.id)
  ) then
    perform booking.refuse('forbidden', 'These are a colleague''s working hours.');
  end if;
  perform booking.require_week(v_tenant_id, p_request -> 'hours', c_most_rows);

  perform from booking.tenants t where t.id = v_tenant_id for share;
  -- Rows first, as raw writers meet them; then, without waiting, what was inserted meanwhile.
  perform
  from booking.working_hours h
  where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
  order by h.id
  for update;
  perform booking.lock_calendars(v_tenant_id, v_staff_ids);
  perform
  from booking.working_hours h
  where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
  for update nowait;

  -- One statement: its triggers see the whole week, or slots would be deleted and made anew.
  with wanted as (
    select distinct p.staff_id, w.location_id, w.weekday, w.start_time, w.end_time
    from unnest(v_staff_ids) as p(staff_id)
    cross join jsonb_to_recordset(p_request -> 'hours')
      as w(location_id uuid, weekday integer, start_time time, end_time time)
  ),
  standing as (
    select h.id, h.staff_id, h.location_id, h.weekday, h.start_time, h.end_time,
      (v_valid_from is null or h.valid_from >= v_valid_from) as is_replaced,
      exists (
        select
        from wanted w
        where h.staff_id = w.staff_id and h.location_id = w.location_id
          and h.weekday = w.weekday and h.start_time = w.start_time
          and h.end_time = w.end_time and h.valid_until is null
          and h.valid_from is not distinct from v_valid_from
      ) as is_wanted
    from booking.working_hours h
    where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids)
      and (h.valid_until is null or v_valid_from is null or h.valid_until >= v_valid_from)
  ),
  ended as (
    update booking.working_hours h
    set valid_until = v_valid_from - 1
    from standing s
    where h.tenant_id = v_tenant_id and h.id = s.id and s.is_replaced is not true
  ),
  removed as (
    delete from booking.working_hours h
    using standing s
    where h.tenant_id = v_tenant_id and h.id = s.id and s.is_replaced and not s.is_wanted
  )
  insert into booking.working_hours (
    tenant_id, staff_id, location_id, weekday, start_time, end_time, valid_from
  )
  select v_tenant_id, w.staff_id, w.location_id, w.weekday, w.start_time, w.end_time, v_valid_from
  from wanted w
  where not exists (
    select
    from standing s
    where s.is_wanted and s.staff_id = w.staff_id and s.location_id = w.location_id
      and s.weekday = w.weekday and s.start_time = w.start_time and s.end_time = w.end_time
  );

  return jsonb_build_object(
    'staff_ids', to_jsonb(v_staff_ids),
    'valid_from', v_valid_from,
    'message', format('Set for %s.', case cardinality(v_staff_ids)
      when 1 then 'one person' else cardinality(v_staff_ids) || ' people' end)
  );
end
$$;

comment on function booking.set_working_hours(jsonb) is
  'Worker of api.set_working_hours: replaces the weekly hours of people from a date on.';
