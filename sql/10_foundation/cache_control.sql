-- How long edges and browsers may keep an answer, by default that of a view: anonymous answers are
-- everybody's, others nobody else's. Runs as the owner because nobody else may read settings. Reads
-- only.
create or replace function booking.cache_control(p_seconds integer default null) returns text
language sql stable parallel safe security definer
set search_path = ''
as $$
  select case booking.caller_role()
    when 'anon' then format('public, max-age=0, s-maxage=%s', coalesce(p_seconds, s.cache_seconds))
    else 'private, no-cache'
  end
  from booking.settings s
$$;

comment on function booking.cache_control(integer) is
  'The value of Cache-Control for what the caller reads: p_seconds at edges (null: as for views).';
