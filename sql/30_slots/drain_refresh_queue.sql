-- Works off refresh_queue, one transaction a calendar, oldest first; several workers skip each
-- other's entries. The entry's row is locked before the calendar and deleted in the same
-- transaction, so that a change that comes meanwhile queues anew. A failing calendar keeps its
-- error for the next run and stops no other. A procedure that commits can neither pin its
-- search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_tenant_id uuid;
  v_staff_id uuid;
  v_failed uuid[] := array[]::uuid[];
  v_error text;
begin
  loop
    select q.tenant_id, q.staff_id into v_tenant_id, v_staff_id
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id) and q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    begin
      perform booking.refresh_horizon(v_tenant_id, array[v_staff_id]);
      delete from booking.refresh_queue q
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    exception when others then
      get stacked diagnostics v_error = message_text;
      v_failed := v_failed || v_staff_id;
      update booking.refresh_queue q
      set attempts = q.attempts + 1, last_error = v_error
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id;
    end;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';
