-- A refusal as callers get it: sets HTTP status and headers and returns the body. PostgREST forgets
-- all three where the transaction fails, which is why a refusal is an answer. Locks nothing.
create or replace function booking.refusal(
  p_code text,
  p_message text,
  p_details text default null,
  p_hint text default null,
  p_retry_after integer default null
) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform set_config('response.status', booking.refusal_status(p_code)::text, true);
  -- Takes the place of what pre_request said of a successful GET.
  perform set_config('response.headers', (
    select coalesce(jsonb_agg(header), '[]')
    from (
      select '{"Cache-Control": "no-store"}'::jsonb
      where current_setting('request.method', true) in ('GET', 'HEAD')
      union all
      select jsonb_build_object('Retry-After', p_retry_after::text) where p_retry_after is not null
    ) as h(header)
  )::text, true);
  return jsonb_build_object(
    'success', false, 'code', p_code, 'message', p_message,
    'details', nullif(p_details, ''), 'hint', nullif(p_hint, '')
  );
end
$$;

comment on function booking.refusal(text, text, text, text, integer) is
  'The body of a refusal: success (false), code, message, details, hint; sets response.status and
response.headers (p_retry_after in seconds).';

-- What whoever calls too often is told.
create or replace function booking.refuse_calls(p_seconds integer) returns jsonb
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refusal(
    'rate_limited', 'These are too many calls in a minute.', null,
    format('Try again in %s second%s.', p_seconds, case when p_seconds > 1 then 's' else '' end),
    p_seconds
  )
$$;

comment on function booking.refuse_calls(integer) is
  'The refusal rate_limited; p_seconds until the next call may come.';
