-- An instant as people at a place read it. Reads nothing, refuses nothing.
create or replace function booking.local_text(p_time timestamptz, p_zone text) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select to_char(p_time at time zone p_zone, 'Dy FMDD Mon YYYY, HH24:MI')
    || case when extract(second from p_time) <> 0
      then to_char(p_time at time zone p_zone, ':SS') else '' end
$$;

comment on function booking.local_text(timestamptz, text) is
  'The instant by the clocks of an IANA zone: Mon 2 Mar 2026, 09:00.';
