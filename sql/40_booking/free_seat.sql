-- The seat to give out: the one that was asked for if it is free, else the lowest free one, else
-- null. As many live attendees and live holds as there are seats leave none, whatever their numbers
-- (a lowered capacity is never refilled past). Ask under the calendar's lock. Reads only.
create or replace function booking.free_seat(
  p_tenant_id uuid,
  p_slot_id uuid,
  p_capacity integer,
  p_asked_seat integer default null,
  p_without_appointment_id uuid default null
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_taken integer[] := array(
    select a.seat
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.slot_id = p_slot_id
      and a.status <> 'cancelled' and a.id is distinct from p_without_appointment_id
    union all
    select h.seat
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.slot_id = p_slot_id
      and h.expires_at > booking.now()
  );
begin
  if cardinality(v_taken) >= p_capacity then
    return null;
  end if;
  if p_capacity = 1 then
    return 1;
  end if;

  return (
    select s.seat
    from generate_series(1, p_capacity) as s(seat)
    where s.seat <> all (v_taken)
    order by s.seat is distinct from p_asked_seat, s.seat
    limit 1
  );
end
$$;

comment on function booking.free_seat(uuid, uuid, integer, integer, uuid) is
  'The asked seat of a slot if it is free, else the lowest free one; null where all are taken.';
