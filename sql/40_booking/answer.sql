-- The frame around every function that only reads. The functions in "api" call it with their own
-- name and their arguments; it counts the call, lets the worker of that name look, makes an answer
-- of what it says or refuses, and tells edges and browsers how long it keeps.
--
-- Anonymous lists may be kept at edges for the tenant's cache_seconds; browsers ask again each time
-- and are told 304 where nothing has changed. The ETag is a hash of the body.
--
-- Runs as the owner because callers may not read what decides (bookable_from, holds, is_active);
-- each worker asks who is calling where not everyone may know. Locks nothing but the client's row
-- of rate_limits, where the transaction may write. Leaves no audit row, as nothing was attempted;
-- of some searches the workers remember that there was one (count_search).
create or replace function booking.answer(p_function text, p_request jsonb) returns json
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_seconds integer := booking.seconds_to_wait('read');
  v_answer jsonb;
  -- Of lists, which are long: as text, and copied no more often than need be.
  v_body text;
  v_code text;
  v_message text;
  v_details text;
  v_hint text;
  v_cache_control text;
  v_etag text;
begin
  if v_seconds > 0 then
    return booking.refuse_calls(v_seconds);
  end if;

  for v_try in 1..2 loop
    begin
      case p_function
        when 'get_tenant' then
          v_answer := booking.get_tenant(p_request);
        when 'get_available_slots' then
          v_body := booking.get_available_slots(p_request);
        when 'get_available_times' then
          v_answer := booking.get_available_times(p_request);
        when 'get_next_available' then
          v_body := booking.get_next_available(p_request);
        when 'get_reservations' then
          v_answer := booking.get_reservations(p_request);
        when 'explain_availability' then
          v_answer := booking.explain_availability(p_request);
      end case;
      exit;
    exception
      when sqlstate 'PB001' then
        get stacked diagnostics
          v_code = constraint_name,
          v_message = message_text,
          v_details = pg_exception_detail,
          v_hint = pg_exception_hint;
        return booking.refusal(v_code, v_message, v_details, v_hint);
      when syntax_error_or_access_rule_violation or internal_error then
        -- Our functions were replaced while this ran; the second try runs what is there now.
        if v_try = 2 then
          raise;
        end if;
      when query_canceled or lock_not_available then
        -- Out of time: an error would take the count back.
        return booking.refusal(
          'busy', 'This takes too long at the moment.', null, 'Ask for less, or try again.', 1
        );
    end;
  end loop;

  if v_body is null then
    v_body := (jsonb_build_object('success', true) || v_answer)::text;
  end if;
  if current_setting('request.method', true) in ('GET', 'HEAD') then
    v_cache_control := booking.cache_control((
      select t.cache_seconds
      from booking.tenants t
      where t.id = coalesce(p_request ->> 'tenant_id', v_answer ->> 'id')::uuid
    ));
    v_etag := format('"%s"', md5(v_body));
    perform set_config('response.headers', jsonb_build_array(
      jsonb_build_object('Cache-Control', v_cache_control),
      jsonb_build_object('ETag', v_etag)
    )::text, true);

    if strpos(
      nullif(current_setting('request.headers', true), '')::jsonb ->> 'if-none-match', v_etag
    ) > 0 then
      perform set_config('response.status', '304', true);
      return null;
    end if;
  end if;
  return v_body::json;
end
$$;

comment on function booking.answer(text, jsonb) is
  'Answers the reading function of that name in "api": {"success": true, …} or a refusal, with
Cache-Control and ETag; null and status 304 where the caller has that already.';
