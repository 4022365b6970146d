-- A wide change: a few calendars are refreshed at once, many are queued with the reason, and the
-- change's own transaction stays short.
--
-- lock_tenant comes first, before the people are listed: whoever makes a person newly concerned
-- shares that lock, so nobody is overlooked by both. Then calendars, in staff_id order.
create or replace function booking.lock_tenant(p_tenant_id uuid) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  -- An old snapshot would list the people of yesterday, and no lock could tell.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using
      errcode = 'invalid_transaction_state',
      message = 'a change that concerns several calendars needs a READ COMMITTED transaction',
      detail = format('This one is %s.', upper(current_setting('transaction_isolation'))),
      hint = 'Such are tenants, locations, appointment types, travel times, and breaks and '
        'exceptions for everyone.';
  end if;

  -- An UPDATE, so that a REPEATABLE READ writer that shares the lock later fails with 40001 instead
  -- of publishing what this change has made stale.
  update booking.tenants t set updated_at = booking.now() where t.id = p_tenant_id;
end
$$;

comment on function booking.lock_tenant(uuid) is
  'Locks a tenant''s row for a change that concerns several calendars, until the transaction ends.';

create or replace function booking.refresh_or_queue(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_reason text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_calendars_at_once constant integer := 20;
begin
  if cardinality(p_staff_ids) <= c_most_calendars_at_once then
    perform booking.refresh_horizon(p_tenant_id, p_staff_ids);
    return;
  end if;

  -- Not "do nothing": whoever is working an entry off holds its row, so this waits and queues anew.
  insert into booking.refresh_queue as q (tenant_id, staff_id, reason, queued_at)
  select p_tenant_id, s.id, p_reason, booking.now()
  from unnest(p_staff_ids) as s(id)
  order by s.id
  on conflict (tenant_id, staff_id)
  do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0,
    retry_at = excluded.retry_at;
end
$$;

comment on function booking.refresh_or_queue(uuid, uuid[], text) is
  'Refreshes up to 20 calendars now, or puts more of them into refresh_queue with the reason.';
