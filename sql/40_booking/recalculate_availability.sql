-- Publishes anew what the calculator says of some local dates, for one person or all of a tenant:
-- repair, not upkeep, for triggers keep everything exact. More than 20 calendars are queued instead
-- and done by the queue's job, in full. For the service. Locks the calendars by staff_id. Refuses:
-- forbidden, invalid_request, range_too_large, not_found.
create or replace function booking.recalculate_availability(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 731;
  c_most_calendars_at_once constant integer := 20;
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_staff_ids uuid[];
  v_changes record;
begin
  if booking.caller_role() is distinct from 'service_role' then
    perform booking.refuse('forbidden', 'Recalculating is for the service.');
  end if;
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_dates(
    (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date, c_most_days
  );

  perform from booking.tenants t where t.id = v_tenant_id;
  if not found then
    perform booking.refuse('not_found', 'There is no such tenant.');
  end if;
  v_staff_ids := array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = v_tenant_id and (v_staff_id is null or c.staff_id = v_staff_id)
  );
  if v_staff_id is not null and cardinality(v_staff_ids) = 0 then
    perform booking.refuse('not_found', 'There is no such person (staff_id).');
  end if;

  if cardinality(v_staff_ids) > c_most_calendars_at_once then
    perform booking.refresh_or_queue(v_tenant_id, v_staff_ids, 'recalculation asked for');
    return jsonb_build_object(
      'calendars', cardinality(v_staff_ids), 'queued', cardinality(v_staff_ids),
      'message', 'Queued.'
    );
  end if;

  select r.* into v_changes
  from booking.refresh_slots(
    v_tenant_id, v_staff_ids, (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date
  ) r;
  return jsonb_build_object(
    'calendars', cardinality(v_staff_ids), 'queued', 0, 'inserted', v_changes.inserted,
    'updated', v_changes.updated, 'deleted', v_changes.deleted, 'message', 'Recalculated.'
  );
end
$$;

comment on function booking.recalculate_availability(jsonb) is
  'Worker of api.recalculate_availability: refreshes up to 20 calendars now, queues more.';
