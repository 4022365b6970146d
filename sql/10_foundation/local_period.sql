-- The local time from p_start to p_end on a date: an end at or before the start is the next day's,
-- 24:00 is the next midnight, and no times at all are the whole day. Inlinable on purpose, hence
-- without a pinned search_path.
create or replace function booking.local_period(p_date date, p_start time, p_end time)
returns tsrange
language sql immutable parallel safe
as $$
  select tsrange(
    p_date + coalesce(p_start, '00:00'),
    p_date + coalesce(p_end, '24:00')
      + case when p_end <= p_start then interval '1 day' else interval '0' end
  )
$$;

comment on function booking.local_period(date, time, time) is
  'A period of local time on a date; overnight if it ends at or before its start.';
