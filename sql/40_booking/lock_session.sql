-- The lock of a session that reserves, until the transaction ends: two calls of one session must
-- not pass max_holds_per_session together, nor get two people for one time. Nobody else waits for
-- it. Before any calendar; taken again it costs nothing.
create or replace function booking.lock_session(p_tenant_id uuid, p_session_hash bytea)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(
    p_tenant_id::text || encode(p_session_hash, 'hex'), 0
  ));
end
$$;

comment on function booking.lock_session(uuid, bytea) is
  'Makes other reservations of the same session wait until the transaction ends.';
