-- A period as people at a place read it; its end without the date where that is the start's. Reads
-- nothing, refuses nothing.
create or replace function booking.period_text(
  p_from timestamptz,
  p_until timestamptz,
  p_zone text
) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select booking.local_text(p_from, p_zone) || ' to ' || case
    when split_part(booking.local_text(p_from, p_zone), ', ', 1)
      = split_part(booking.local_text(p_until, p_zone), ', ', 1)
    then split_part(booking.local_text(p_until, p_zone), ', ', 2)
    else booking.local_text(p_until, p_zone)
  end
$$;

comment on function booking.period_text(timestamptz, timestamptz, text) is
  'The period by the clocks of an IANA zone: Mon 2 Mar 2026, 09:00 to 17:00.';
