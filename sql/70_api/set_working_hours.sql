-- Worker: booking.set_working_hours, in the frame of booking.attempt.
create or replace function api.set_working_hours(
  tenant_id uuid,
  staff_id uuid,
  hours jsonb,
  valid_from date default null,
  copy_to_staff_ids uuid[] default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('set_working_hours', jsonb_build_object(
    'tenant_id', set_working_hours.tenant_id,
    'staff_id', set_working_hours.staff_id,
    'hours', set_working_hours.hours,
    'valid_from', set_working_hours.valid_from,
    -- However many dimensions it came in.
    'copy_to_staff_ids', array(select unnest(set_working_hours.copy_to_staff_ids))
  ));
end
$$;

comment on function api.set_working_hours(uuid, uuid, jsonb, date, uuid[]) is
  'Set a whole week of working hours
For the tenant''s admins, and staff for themselves. hours is a list of {"location_id", "weekday"
(1 Monday to 7 Sunday), "start_time", "end_time" (HH:MM, local; 24:00, or over midnight)}, at most
100; an empty list is a week without work. From valid_from on (null: altogether) these hours replace
all others, seasons included. copy_to_staff_ids: the same week for colleagues, at most 10 people.
Answers {"success": true, "staff_ids", "valid_from", "message"}. Refusals: invalid_request 400;
not_authenticated 401; forbidden 403; not_found 404; rate_limited 429; busy 503.';
