-- calculate_slot for whoever holds the calendar's lock, and cheaper: what the calculator said of
-- this calendar is published (promise P2), and under the lock it stays so. A published slot that is
-- available is on the grid, free and within the limit; what takes time is asked all the same, since
-- that alone could make two people meet. Everything else, and a calendar that waits in
-- refresh_queue, is the calculator's to say. Reads only, refuses nothing, does not ask who holds
-- what.
create or replace function booking.current_slot(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_shape_id uuid,
  p_start_time timestamptz
) returns table (
  end_time timestamptz,
  claim tstzrange,
  capacity integer,
  booked integer,
  is_on_grid boolean,
  is_free boolean,
  is_within_limit boolean,
  is_available boolean,
  is_bookable boolean
)
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval := booking.longest_travel(p_tenant_id);
begin
  return query
  select s.end_time, s.claim, s.capacity,
    case when s.capacity = 1 then 0 else (
      select count(*)::integer
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.slot_id = s.id and a.status <> 'cancelled'
    ) end,
    true, true, true, true,
    coalesce(s.bookable_from <= v_now, true) and v_now < s.bookable_until
      and (p_start_time at time zone z.zone)::date
        <= (v_now at time zone z.zone)::date + t.booking_horizon_days
  from booking.availability_slots s
  join booking.tenants t on t.id = s.tenant_id
  join booking.staff p on p.tenant_id = s.tenant_id and p.id = s.staff_id
  join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
  cross join lateral (select coalesce(l.timezone, t.timezone) as zone) as z
  where s.tenant_id = p_tenant_id and s.is_available
    and t.is_active and p.is_active and l.is_active
    and s.id = booking.slot_id(
      p_tenant_id, p_staff_id, p_location_id, p_start_time, p_shape_id
    )
    and not exists (
      select
      from booking.refresh_queue q
      where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id
    )
    and not exists (
      select
      from booking.appointments a
      where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id
        and a.claim && booking.widened(s.claim, v_way)
        and upper(a.claim) > lower(s.claim) - v_way and a.status <> 'cancelled'
        and (s.capacity = 1 or a.slot_id is distinct from s.id)
        and s.claim && booking.barred_period(
          p_tenant_id, a.claim, a.location_id, p_location_id
        )
    )
    and not exists (
      select
      from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.staff_id = p_staff_id
        and tstzrange(b.start_time, b.end_time) && s.claim and b.end_time > lower(s.claim)
    );
  if found then
    return;
  end if;

  return query
  select *
  from booking.calculate_slot(
    p_tenant_id, p_staff_id, p_location_id, p_shape_id, p_start_time
  );
end
$$;

comment on function booking.current_slot(uuid, uuid, uuid, uuid, timestamptz) is
  'What calculate_slot says of one start, read from availability_slots where that is sure; ask under
the calendar''s lock.';
