set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

delete from booking.jobs where name = 'roll_up';

drop table booking.daily_appointments;
drop table booking.daily_bookings;
drop table booking.daily_holds;
drop table booking.daily_supply;
drop table booking.daily_attempts;
drop table booking.rollups;
drop table booking.searches;

comment on column booking.tenants.counts_searches is null;

alter table booking.settings
  drop constraint search_sample_is_1_to_10000,
  drop column search_sample;
