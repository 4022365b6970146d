-- As 0011 for appointments: no query scans the exclusion index of holds.
-- depends: 0011.appointments_exclusion

set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

alter table booking.slot_reservations
  drop constraint one_person_is_held_once_at_a_time,
  add constraint one_person_is_held_once_at_a_time exclude using gist (
    greatest(tenant_id) with =,
    greatest(staff_id) with =,
    greatest(claim) with &&,
    greatest(slot_id) with <>
  );
