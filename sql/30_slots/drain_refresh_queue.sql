-- Works off refresh_queue at once, by hand: like the job, one transaction a calendar, oldest first,
-- but those that failed lately, too. Each is tried once. A procedure that commits can neither pin
-- its search_path nor run as its definer: it qualifies every name.
create or replace procedure booking.drain_refresh_queue(p_tenant_id uuid default null)
language plpgsql
as $$
declare
  v_entry record;
  v_failed text[] := array[]::text[];
begin
  loop
    select q.tenant_id, q.staff_id into v_entry
    from booking.refresh_queue q
    where (p_tenant_id is null or q.tenant_id = p_tenant_id)
      and q.tenant_id::text || q.staff_id <> all (v_failed)
    order by q.queued_at, q.tenant_id, q.staff_id
    limit 1
    for update skip locked;
    exit when not found;

    if not booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id) then
      v_failed := v_failed || (v_entry.tenant_id::text || v_entry.staff_id);
    end if;
    commit;
  end loop;
end
$$;

comment on procedure booking.drain_refresh_queue(uuid) is
  'Refreshes the queued calendars of a tenant (null: all), each in a transaction of its own. Call it
outside a transaction block.';
