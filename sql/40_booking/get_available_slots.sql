-- The slots of some days, page by page: a page begins after the slot that its token names, so that
-- what is booked meanwhile moves nothing. Refuses: invalid_request, range_too_large, not_found.
-- In the frame of booking.answer.
create or replace function booking.get_available_slots(p_request jsonb) returns text
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 62;
  c_most_results constant integer := 1000;
  v_limit integer := coalesce((p_request ->> 'max_results')::integer, c_most_results);
  v_token text := p_request ->> 'page_token';
  v_after_start timestamptz;
  v_after_id uuid;
begin
  perform booking.require_dates(
    (p_request ->> 'start_date')::date, (p_request ->> 'end_date')::date, c_most_days
  );
  perform booking.require_between('max_results', v_limit, 1, c_most_results);

  if v_token is not null then
    begin
      v_after_start := split_part(v_token, '_', 1)::timestamptz;
      v_after_id := split_part(v_token, '_', 2)::uuid;
    exception when data_exception then
      v_after_id := null;
    end;
    if v_after_id is null or booking.iso_time(v_after_start) || '_' || v_after_id <> v_token then
      perform booking.refuse('invalid_request', format(
        'page_token is "%s"; expected the next_page_token of an answer.', left(v_token, 100)
      ));
    end if;
  end if;
  return booking.list_slots(
    p_request, v_after_start, v_after_id, v_limit, 'next_page_token'
  );
end
$$;

comment on function booking.get_available_slots(jsonb) is
  'Worker of api.get_available_slots: slots that can be booked now, of at most 62 days.';
