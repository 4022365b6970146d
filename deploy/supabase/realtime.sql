-- Optional: subscribers hear which calendar has changed. Written by
-- `pgbooking sql --supabase --realtime`; not to be edited.
--
-- What is sent is {tenant_id, staff_id, revision}, to the public topic availability:<tenant_id>: a
-- hint to read again. Realtime keeps it as a row of the writing transaction, so it goes out when
-- that commits, and never if it does not. Once for each calendar that a transaction changes.
--
-- The function belongs to the role that pushes, and not to booking_owner: row-level security of
-- realtime.messages lets that role write and no other of ours, and a grant of what is Supabase's
-- own can come to nothing without a word.

create function booking.broadcast_revision() returns trigger
language plpgsql volatile parallel unsafe
security definer
set search_path = ''
as $$
begin
  perform realtime.send(
    payload => jsonb_build_object(
      'tenant_id', new.tenant_id, 'staff_id', new.staff_id, 'revision', new.revision
    ),
    event => 'calendar_changed',
    topic => 'availability:' || new.tenant_id,
    private => false
  );
  return null;
exception
  -- No booking fails for want of a hint. realtime.send turns its own errors into warnings; this is
  -- for where it is missing, as it is until Realtime is first used, or has been changed.
  when others then
    raise warning 'no broadcast for calendar %: %', new.staff_id, sqlerrm;
    return null;
end
$$;

comment on function booking.broadcast_revision() is
  'Tells Supabase Realtime which calendar has changed, and nothing about how.';

revoke execute on function booking.broadcast_revision() from public;

create trigger calendars_broadcast_revision
after update of revision on booking.calendars
for each row when (new.revision <> old.revision)
execute function booking.broadcast_revision();
