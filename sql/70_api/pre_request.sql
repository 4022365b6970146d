-- For PostgREST's db-pre-request: runs first in each request, as the caller. Tells edges how long
-- they may keep what anonymous callers read of the views here; functions that know better replace
-- it. Whose address a call has, booking.client_address says to whoever asks. Reads only.
--
-- Without a pinned search_path, because that is how PostgREST says which schema the request is for:
-- others that it exposes are not ours to make public.
create or replace function api.pre_request() returns void
language sql volatile parallel unsafe
as $$
  select pg_catalog.set_config(
    'response.headers',
    pg_catalog.jsonb_build_array(
      pg_catalog.jsonb_build_object('Cache-Control', booking.cache_control())
    )::text,
    true
  )
  where current_schema = 'api'
    and pg_catalog.current_setting('request.method', true) in ('GET', 'HEAD')
$$;

comment on function api.pre_request() is
  'For PostgREST''s db-pre-request
Sets Cache-Control. Nothing for clients.';
