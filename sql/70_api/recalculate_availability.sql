-- Worker: booking.recalculate_availability, in the frame of booking.attempt.
create or replace function api.recalculate_availability(
  tenant_id uuid,
  start_date date,
  end_date date,
  staff_id uuid default null
) returns json
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  return booking.attempt('recalculate_availability', jsonb_build_object(
    'tenant_id', recalculate_availability.tenant_id,
    'start_date', recalculate_availability.start_date,
    'end_date', recalculate_availability.end_date,
    'staff_id', recalculate_availability.staff_id
  ));
end
$$;

comment on function api.recalculate_availability(uuid, date, date, uuid) is
  'Publish some days anew (service only)
start_date and end_date are local dates, inclusive. Triggers keep everything exact: this is repair.
More than 20 calendars are queued.
Answers {"success": true, "calendars", "queued", "inserted", "updated", "deleted", "message"}.
Refusals: range_too_large, invalid_request 400; forbidden 403; not_found 404; rate_limited 429; busy
503.';
