-- Keeps the error of a calendar that could not be published, and when to try again: after 2, 4,
-- 8, … minutes, at most 64. Puts it into the queue if it is not there. Locks its entry.
create or replace function booking.queue_failed(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_reason text,
  p_error text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  insert into booking.refresh_queue as q (
    tenant_id, staff_id, reason, attempts, last_error, retry_at
  )
  select
    c.tenant_id, c.staff_id, p_reason, 1, p_error, booking.now() + interval '2 minutes'
  from booking.calendars c
  where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id
  on conflict (tenant_id, staff_id) do update
  set attempts = q.attempts + 1, last_error = excluded.last_error,
    retry_at = booking.now() + (2 ^ least(q.attempts + 1, 6)) * interval '1 minute';
end
$$;

comment on function booking.queue_failed(uuid, uuid, text, text) is
  'Queues a calendar that failed with that error, for a reason if it is not queued yet.';
