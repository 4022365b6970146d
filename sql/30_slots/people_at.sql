-- Whom a change at some places concerns: everybody with weekly hours, exceptions, booked or held
-- slots there, and for a null among the places everybody of the tenant. Reads only; ask after
-- lock_tenant.
create or replace function booking.people_at(p_tenant_id uuid, p_location_ids uuid[])
returns uuid[]
language sql stable parallel safe
set search_path = ''
as $$
  select array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = p_tenant_id
      and (
        array_position(p_location_ids, null) is not null
        or exists (
          select from booking.working_hours h
          where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id
            and h.location_id = any (p_location_ids)
        )
        or exists (
          select from booking.schedule_exceptions e
          where e.tenant_id = p_tenant_id and e.staff_id = c.staff_id
            and e.location_id = any (p_location_ids)
        )
        -- Their slots are kept, whether or not anybody works there.
        or exists (
          select from booking.appointments a
          where a.tenant_id = p_tenant_id and a.staff_id = c.staff_id
            and a.location_id = any (p_location_ids) and a.slot_id is not null
        )
        or exists (
          select from booking.slot_reservations h
          where h.tenant_id = p_tenant_id and h.staff_id = c.staff_id
            and h.location_id = any (p_location_ids)
        )
      )
    order by c.staff_id
  )
$$;

comment on function booking.people_at(uuid, uuid[]) is
  'The people whose slots can depend on these places (null among them: everyone of the tenant).';
