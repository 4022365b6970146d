-- The first free times from an instant on, over all people or one. Refuses: invalid_request,
-- not_found. In the frame of booking.answer.
create or replace function booking.get_next_available(p_request jsonb) returns text
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_limit integer := coalesce((p_request ->> 'max_results')::integer, 5);
  v_from timestamptz := (p_request ->> 'from_time')::timestamptz;
begin
  perform booking.require_between('max_results', v_limit, 1, 100);
  perform booking.require_time('from_time', v_from);
  return booking.list_slots(p_request, v_from, null, v_limit, 'searched_until');
end
$$;

comment on function booking.get_next_available(jsonb) is
  'Worker of api.get_next_available: the first slots that can be booked now, by start_time.';
