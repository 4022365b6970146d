-- The queue's job, one step: publishes the calendar that has waited longest and returns 1, or 0 if
-- none is due. The entry's row is locked before the calendar and deleted in the same transaction,
-- so that a change that comes meanwhile queues anew. Entries that another worker has, and
-- calendars that someone is writing, are left to the next run. One try a transaction: whoever
-- wants to queue anew waits for no other calendar. One that fails keeps its error until its next
-- turn and stops no other.
create or replace function booking.refresh_queued_calendar() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_entry record;
begin
  select q.tenant_id, q.staff_id into v_entry
  from booking.refresh_queue q
  join booking.calendars c on c.tenant_id = q.tenant_id and c.staff_id = q.staff_id
  where q.retry_at <= booking.now()
  order by q.queued_at, q.tenant_id, q.staff_id
  limit 1
  for update of q skip locked
  for no key update of c skip locked;
  if not found then
    return 0;
  end if;
  perform booking.work_off_queued(v_entry.tenant_id, v_entry.staff_id);
  return 1;
end
$$;

comment on function booking.refresh_queued_calendar() is
  'Publishes the next queued calendar, or keeps its error; returns 1, or 0 if none is due.';

-- For whoever has locked the entry. Returns whether the calendar is published now; else its error
-- is kept.
create or replace function booking.work_off_queued(p_tenant_id uuid, p_staff_id uuid)
returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_error text;
begin
  perform booking.refresh_horizon(p_tenant_id, array[p_staff_id]);
  delete from booking.refresh_queue q
  where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id;
  return true;
exception when others then
  get stacked diagnostics v_error = message_text;
  perform booking.queue_failed(p_tenant_id, p_staff_id, 'refresh failed', v_error);
  return false;
end
$$;

comment on function booking.work_off_queued(uuid, uuid) is
  'Publishes a queued calendar and takes it off the queue; returns whether that worked.';
