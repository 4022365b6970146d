-- Every id of a slot that is not to be had looks alike: ids can be computed, and "not found" would
-- tell off duty from busy. Only what cannot be a slot's id at all is "not found".
create or replace function booking.require_slot(
  p_slot booking.availability_slots,
  p_request jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if not coalesce(booking.is_slot_id((p_request ->> 'slot_id')::uuid), false) then
    perform booking.refuse('slot_not_found', 'slot_id is not the id of a slot.');
  end if;
  if p_slot.tenant_id is null then
    perform booking.refuse_taken();
  end if;
end
$$;

comment on function booking.require_slot(booking.availability_slots, jsonb) is
  'Refuses a request whose slot_id names no slot: slot_not_found or slot_taken.';

-- Whether rows of availability_slots exist for the day of this slot, so that one without a row is
-- none. Reads only.
create or replace function booking.is_published(p_slot booking.availability_slots)
returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (
    select
    from booking.published_bounds(p_slot.tenant_id, array[p_slot.staff_id], null, null) b
    where b.location_id = p_slot.location_id and p_slot.start_time < b.end_of_starts
  )
$$;

comment on function booking.is_published(booking.availability_slots) is
  'True if the slot begins before the end of its calendar''s published days.';

-- Whether a slot that had no row has been published meanwhile. Reads only.
create or replace function booking.has_row(p_slot booking.availability_slots) returns boolean
language sql volatile parallel unsafe
set search_path = ''
as $$
  select exists (
    select
    from booking.availability_slots s
    where s.tenant_id = p_slot.tenant_id and s.id = p_slot.id
  )
$$;

comment on function booking.has_row(booking.availability_slots) is
  'True if the slot is in availability_slots now.';

create or replace function booking.refuse_taken() returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.refuse(
    'slot_taken', 'This time is no longer available.', null, 'Choose another time.'
  );
end
$$;

comment on function booking.refuse_taken() is 'Refuses with slot_taken.';

create or replace function booking.refuse_changed() returns void
language sql volatile parallel unsafe
set search_path = ''
as $$
  select booking.refuse(
    'appointment_conflict', 'This time can no longer be booked.',
    'The calendar has changed since it was reserved.', 'Choose another time.'
  )
$$;

comment on function booking.refuse_changed() is
  'Refuses with appointment_conflict: it is held, but the tenant has changed the calendar since.';
