-- The consumer of the outbox: takes the oldest events that nobody else is handling, for whatever
-- sends mails or calls webhooks. They stay locked until the transaction ends; mark them with
-- finish_events() in the same transaction, once they are handled, and commit. Whoever stops before
-- that leaves them to the next: each event is handled at least once. Several consumers skip each
-- other's. The customer is read from the appointment now, so that an erased person is not written
-- to.
create or replace function booking.take_events(
  p_most_events integer default 100,
  p_tenant_id uuid default null
) returns table (
  tenant_id uuid,
  id uuid,
  kind text,
  appointment_id uuid,
  created_at timestamptz,
  payload jsonb,
  customer jsonb
)
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return query
  select e.tenant_id, e.id, e.kind, e.appointment_id, e.created_at, e.payload, a.customer
  from booking.events e
  join booking.appointments a on a.tenant_id = e.tenant_id and a.id = e.appointment_id
  where e.processed_at is null and (p_tenant_id is null or e.tenant_id = p_tenant_id)
  order by e.created_at, e.id
  limit p_most_events
  for update of e skip locked;
end
$$;

comment on function booking.take_events(integer, uuid) is
  'Up to p_most_events unprocessed events (of a tenant, null: of all), oldest first, locked until
the transaction ends.';

create or replace function booking.finish_events(p_tenant_ids uuid[], p_ids uuid[])
returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_finished integer;
begin
  update booking.events e
  set processed_at = booking.now()
  from unnest(p_tenant_ids, p_ids) as done(tenant_id, id)
  where e.tenant_id = done.tenant_id and e.id = done.id and e.processed_at is null;
  get diagnostics v_finished = row_count;
  return v_finished;
end
$$;

comment on function booking.finish_events(uuid[], uuid[]) is
  'Marks the events (p_tenant_ids[i], p_ids[i]) as processed; returns how many.';
