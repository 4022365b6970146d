-- Puts the engine back to what it was. Written by `make engine`.

set local role booking_owner;

set local check_function_bodies = off;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

do $$ begin lock table booking.daily_supply in access exclusive mode; end $$;

drop policy admins_read on booking.daily_supply;

drop policy service_reads_all on booking.daily_supply;
