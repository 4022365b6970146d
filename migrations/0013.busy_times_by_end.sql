-- Busy times are found by their end in a B-tree: see 0011 for what GiST can lose.
-- depends: 0012.slot_reservations_exclusion

set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

drop index booking.busy_times_tenant_id_staff_id_period_idx;

drop index booking.busy_times_tenant_id_staff_id_idx;

create index busy_times_tenant_id_staff_id_end_time_idx
  on booking.busy_times (tenant_id, staff_id, end_time);
