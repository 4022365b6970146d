-- The nightly rebuild: each calendar's whole horizon, in a transaction of its own. A night on
-- which nothing changed writes the new last day and deletes the past one. A calendar that fails is
-- queued with its error, and the next one follows. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
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
      insert into booking.refresh_queue as q (tenant_id, staff_id, reason, attempts, last_error)
      select c.tenant_id, c.staff_id, 'nightly refresh failed', 1, v_error
      from booking.calendars c
      where c.tenant_id = v_calendar.tenant_id and c.staff_id = v_calendar.staff_id
      on conflict (tenant_id, staff_id)
      do update set attempts = q.attempts + 1, last_error = excluded.last_error;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.nightly_refresh(uuid) is
  'Refreshes every calendar of a tenant (null: of all), each in a transaction of its own. Call it
outside a transaction block.';
