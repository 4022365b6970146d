set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

drop index booking.appointments_tenant_id_staff_id_upper_idx;

alter table booking.appointments
  drop constraint one_person_is_in_one_place_at_a_time,
  add constraint one_person_is_in_one_place_at_a_time exclude using gist (
    tenant_id with =,
    staff_id with =,
    claim with &&,
    coalesce(slot_id, id) with <>
  ) where (status <> 'cancelled');
