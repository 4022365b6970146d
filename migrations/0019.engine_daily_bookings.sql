-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: 0018.engine_daily_attempts

set local role booking_owner;

set local check_function_bodies = off;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

do $$ begin lock table booking.daily_bookings in access exclusive mode; end $$;

-- sql/60_policies/daily_bookings.sql

-- daily_bookings: a tenant's admins, and the service, read what the tenant's days came to.
drop policy if exists admins_read on booking.daily_bookings;

create policy admins_read on booking.daily_bookings
for select to authenticated
using (tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[]));

drop policy if exists service_reads_all on booking.daily_bookings;

create policy service_reads_all on booking.daily_bookings
for select to service_role
using (true);
