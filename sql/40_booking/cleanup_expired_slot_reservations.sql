-- Deletes holds whose time is over, oldest first, and returns how many. Housekeeping only: an
-- expired hold is free for the next caller at once, whatever this does. One call takes few
-- calendars, and of these only such as nobody is writing (skip locked): a booker waits for it as
-- long as one call takes at the most. Call it until it returns 0. Calendars are locked before
-- their holds, as everybody does.
create or replace function booking.cleanup_expired_slot_reservations(
  p_most_calendars integer default 20
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_cleared integer;
  v_all_cleared integer := 0;
begin
  for v_tenant_id, v_staff_ids in
    with locked as (
      select c.tenant_id, c.staff_id
      from (
        select h.tenant_id, h.staff_id
        from booking.slot_reservations h
        where h.expires_at <= v_now
        group by h.tenant_id, h.staff_id
        order by min(h.expires_at)
        limit p_most_calendars
      ) as due
      join booking.calendars c on c.tenant_id = due.tenant_id and c.staff_id = due.staff_id
      order by c.tenant_id, c.staff_id
      for no key update of c skip locked
    )
    select l.tenant_id, array_agg(l.staff_id) from locked l group by l.tenant_id
  loop
    delete from booking.slot_reservations h
    where h.tenant_id = v_tenant_id and h.staff_id = any (v_staff_ids) and h.expires_at <= v_now;
    get diagnostics v_cleared = row_count;
    v_all_cleared := v_all_cleared + v_cleared;
  end loop;
  return v_all_cleared;
end
$$;

comment on function booking.cleanup_expired_slot_reservations(integer) is
  'Deletes expired holds of up to p_most_calendars calendars that nobody is writing; returns how
many holds. 0: none are left, or only in calendars being written.';
