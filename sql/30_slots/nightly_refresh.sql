-- The nightly rebuild, one step: publishes the next calendar whose night has not been done, and
-- returns 1, or 0 if there is none. A night is due from its tenant's local refresh_hour on, and
-- done when the horizon has moved since midnight; whatever moved it has rebuilt the calendar. One
-- on which nothing changed writes the new last day and deletes the past one. Calendars that
-- someone is writing are left to the next run, queued ones to the queue, where a calendar that
-- fails is put with its error.
create or replace function booking.refresh_due_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_calendar record;
  v_error text;
begin
  loop
    select c.tenant_id, c.staff_id into v_calendar
    from booking.tenants t
    join booking.calendars c on c.tenant_id = t.id
    -- The date on which it was done last: that of the last night, or today; not tomorrow, or the
    -- clock has been put back.
    where c.materialized_until - least(t.precompute_days, t.booking_horizon_days) not between
        ((v_now at time zone t.timezone) - t.refresh_hour * interval '1 hour')::date
        and (v_now at time zone t.timezone)::date
      and not exists (
        select from booking.refresh_queue q
        where q.tenant_id = c.tenant_id and q.staff_id = c.staff_id
      )
    limit 1
    for no key update of c skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
      return 1;
    exception when others then
      get stacked diagnostics v_error = message_text;
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
  end loop;
  return 0;
end
$$;

comment on function booking.refresh_due_calendar() is
  'Publishes the next calendar whose night is due (its tenant''s refresh_hour has come, local time);
returns 1, or 0 if there is none.';

-- The same for every calendar, at once, by hand, due or not; each in a transaction of its own.
-- A procedure that commits can neither pin its search_path nor run as its definer: it qualifies
-- every name.
create or replace procedure booking.nightly_refresh(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_calendar record;
  v_error text;
begin
  for v_calendar in
    select c.tenant_id, c.staff_id
    from booking.calendars c
    where p_tenant_id is null or c.tenant_id = p_tenant_id
    order by c.tenant_id, c.staff_id
  loop
    begin
      perform booking.refresh_horizon(v_calendar.tenant_id, array[v_calendar.staff_id]);
    exception when others then
      get stacked diagnostics v_error = message_text;
      perform booking.queue_failed(
        v_calendar.tenant_id, v_calendar.staff_id, 'nightly refresh failed', v_error
      );
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';
