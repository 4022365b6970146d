-- The HTTP status of each code that a refusal can have: the contract with clients (design, section
-- 7). An unknown code is a mistake of ours and raises.
create or replace function booking.refusal_status(p_code text) returns integer
language plpgsql immutable parallel safe
set search_path = ''
as $$
declare
  v_status integer := case
    when p_code in ('invalid_request', 'range_too_large') then 400
    when p_code = 'not_authenticated' then 401
    when p_code = 'forbidden' then 403
    when p_code in ('not_found', 'slot_not_found') then 404
    when p_code in (
      'slot_taken', 'reservation_expired', 'appointment_conflict', 'idempotency_conflict',
      'hold_limit_reached', 'customer_limit_reached', 'too_late', 'invalid_status'
    ) then 409
    when p_code = 'rate_limited' then 429
    when p_code = 'busy' then 503
  end;
begin
  if v_status is null then
    raise exception 'booking.refusal_status knows no code "%"', p_code;
  end if;
  return v_status;
end
$$;

comment on function booking.refusal_status(text) is 'The HTTP status of a refusal''s code.';
