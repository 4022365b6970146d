set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

drop index booking.busy_times_tenant_id_staff_id_end_time_idx;

create index busy_times_tenant_id_staff_id_idx on booking.busy_times (tenant_id, staff_id);

create index busy_times_tenant_id_staff_id_period_idx
  on booking.busy_times using gist (tenant_id, staff_id, tstzrange(start_time, end_time));
