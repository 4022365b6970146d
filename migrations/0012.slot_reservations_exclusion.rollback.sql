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
    tenant_id with =,
    staff_id with =,
    claim with &&,
    slot_id with <>
  );
