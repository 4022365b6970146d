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

-- sql/70_api/availability_slots.sql

drop view api.availability_slots;

-- The mission's one SELECT: slots that can be booked now. The policy on the table decides what that
-- is; the view asks that tenant, person and place are active, whatever the queue has still to do.
create or replace view api.availability_slots with (security_invoker = true) as
select
  s.id, s.tenant_id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.end_time,
  s.duration_minutes, greatest(s.seats_left, 1) as seats_left, s.is_available
from booking.availability_slots s
where exists (select from booking.tenants t where t.id = s.tenant_id and t.is_active)
  and exists (
    select
    from booking.staff p
    where p.tenant_id = s.tenant_id and p.id = s.staff_id and p.is_active
  )
  and exists (
    select
    from booking.locations l
    where l.tenant_id = s.tenant_id and l.id = s.location_id and l.is_active
  );

comment on view api.availability_slots is
  'Slots that can be booked now
Filter by tenant_id, staff_id, duration_minutes and start_time (an instant with a time zone). Times
are UTC instants, half open; seats_left counts places in a class and is 1 for a single slot;
is_available is always true.';

grant select on api.availability_slots to anon, authenticated, service_role;
