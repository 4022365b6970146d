-- Worker: booking.release_slot, in the frame of booking.attempt.
create or replace function api.release_slot(
  slot_id uuid,
  session_id text,
  tenant_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('release_slot', jsonb_build_object(
    'slot_id', release_slot.slot_id,
    'session_id', release_slot.session_id,
    'tenant_id', release_slot.tenant_id
  ));
end
$$;

comment on function api.release_slot(uuid, text, uuid) is
  'Give a held slot back
Answers {"success": true, "slot_id", "message"}. Refusals: not_found 404 (this session does not hold
it, or no longer); invalid_request 400; rate_limited 429; busy 503.';
