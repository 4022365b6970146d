-- The engine: what sql/ says and the last release does not. Written by `make engine`; edit sql/.
-- depends: 0021.engine_daily_supply

set local role booking_owner;

set local check_function_bodies = off;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

-- sql/70_api/availability_slots.sql

drop view api.availability_slots;

-- The mission's one SELECT: slots that can be booked now. The policy on the table decides what that
-- is; the view asks that tenant, person and place are active, whatever the queue has still to do.
-- In one exists, so that they are looked up once and not beside each row; joins in the view itself
-- would do that too, but then a write is the fault 55000 and not the refusal 42501.
create or replace view api.availability_slots with (security_invoker = true) as
select
  s.id, s.tenant_id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, greatest(s.seats_left, 1) as seats_left, s.is_available
from booking.availability_slots s
where exists (
  select
  from booking.tenants t
  join booking.staff p on p.tenant_id = t.id
  join booking.locations l on l.tenant_id = t.id
  where t.id = s.tenant_id and p.id = s.staff_id and l.id = s.location_id
    and t.is_active and p.is_active and l.is_active
);

comment on view api.availability_slots is
  'Slots that can be booked now
Filter by tenant_id, staff_id, duration_minutes and start_time (an instant with a time zone). Times
are UTC instants, half open; seats_left counts places in a class and is 1 for a single slot;
is_available is always true.';

grant select on api.availability_slots to anon, authenticated, service_role;
