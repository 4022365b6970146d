-- How long edges and browsers may keep what a view answers: anonymous answers are everybody's,
-- others nobody else's. Runs as the owner because nobody else may read settings. Reads only.
create or replace function booking.cache_control() returns text
language sql stable parallel safe security definer
set search_path = ''
as $$
  select case booking.caller_role()
    when 'anon' then format('public, max-age=0, s-maxage=%s', s.cache_seconds)
    else 'private, no-cache'
  end
  from booking.settings s
$$;

comment on function booking.cache_control() is
  'The value of Cache-Control for what the caller reads of views.';
