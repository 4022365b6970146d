-- appointments: whoever writes, the calendar is locked before the exclusion index is met, seats are
-- given out under that lock, and the slots follow in the same transaction.
--
--   before row        1 caller checked, 2 calendar locked, 3 seat taken (or slot cleared)
--   after statement   holds it beats are deleted, the days around old and new claims recalculated

-- Moving an appointment by hand takes it off its slot. Taking a seat copies the type's capacity, is
-- refused when attendees and holds fill the class, and gets the lowest free seat, so that a lowered
-- capacity is never refilled past. Runs under the calendar's lock.
create or replace function booking.take_seat() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_group_type_id uuid;
  v_taken integer[];
begin
  if tg_op = 'UPDATE' and new.slot_id is not distinct from old.slot_id and (
    new.staff_id, new.location_id, new.start_time, new.end_time,
    new.buffer_before_minutes, new.buffer_after_minutes
  ) is distinct from (
    old.staff_id, old.location_id, old.start_time, old.end_time,
    old.buffer_before_minutes, old.buffer_after_minutes
  ) then
    new.slot_id := null;
    new.shape_id := null;
  end if;

  if new.slot_id is null then
    new.seat := 1;
    new.capacity := 1;
    return new;
  end if;

  if tg_op = 'UPDATE' and new.slot_id is not distinct from old.slot_id
    and new.appointment_type_id = old.appointment_type_id
    and (new.status = 'cancelled' or old.status <> 'cancelled')
  then
    if new.seat <> old.seat or new.capacity <> old.capacity then
      raise exception using
        errcode = 'check_violation',
        message = 'seat and capacity of an appointment are given out, not written',
        hint = 'Cancel the appointment and book again.';
    end if;
    return new;
  end if;

  select sh.group_type_id into v_group_type_id
  from booking.slot_shapes sh
  where sh.tenant_id = new.tenant_id and sh.id = new.shape_id;

  if v_group_type_id is null then
    new.seat := 1;
    new.capacity := 1;
    return new;
  end if;

  if v_group_type_id <> new.appointment_type_id then
    raise exception using
      errcode = 'check_violation',
      message = 'a class has slots of its own',
      detail = 'appointment_type_id is not the appointment type that slot_id belongs to.';
  end if;

  select t.capacity into new.capacity
  from booking.appointment_types t
  where t.tenant_id = new.tenant_id and t.id = new.appointment_type_id;

  v_taken := array(
    select a.seat
    from booking.appointments a
    where a.tenant_id = new.tenant_id and a.slot_id = new.slot_id
      and a.status <> 'cancelled' and a.id <> new.id
    union all
    select h.seat
    from booking.slot_reservations h
    where h.tenant_id = new.tenant_id and h.slot_id = new.slot_id
      and h.expires_at > booking.now()
  );

  if new.status <> 'cancelled' and cardinality(v_taken) >= new.capacity then
    raise exception using
      errcode = 'exclusion_violation',
      message = format('all %s seats of this slot are taken', new.capacity);
  end if;

  new.seat := (
    select coalesce(min(s.seat), 1)
    from generate_series(1, new.capacity) as s(seat)
    where s.seat <> all (v_taken)
  );
  return new;
end
$$;

create or replace trigger appointments_1_check_caller
before insert or update or delete on booking.appointments
for each row execute function booking.check_caller();

create or replace trigger appointments_2_lock_calendar
before insert or delete on booking.appointments
for each row execute function booking.lock_calendar_of_row();

-- Notes and payments change no slot and need no lock.
create or replace trigger appointments_2_lock_calendar_on_update
before update on booking.appointments
for each row when (
  (
    old.staff_id, old.location_id, old.appointment_type_id, old.shape_id, old.slot_id, old.seat,
    old.capacity, old.start_time, old.end_time, old.buffer_before_minutes,
    old.buffer_after_minutes, old.status = 'cancelled'
  ) is distinct from (
    new.staff_id, new.location_id, new.appointment_type_id, new.shape_id, new.slot_id, new.seat,
    new.capacity, new.start_time, new.end_time, new.buffer_before_minutes,
    new.buffer_after_minutes, new.status = 'cancelled'
  )
)
execute function booking.lock_calendar_of_row();

create or replace trigger appointments_3_take_seat
before insert or update on booking.appointments
for each row execute function booking.take_seat();

create or replace trigger appointments_4_touch_updated_at
before update on booking.appointments
for each row execute function booking.touch_updated_at();

create or replace trigger appointments_refuse_other_key
before update of tenant_id, id on booking.appointments
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger appointments_refuse_truncate
before truncate on booking.appointments
for each statement execute function booking.refuse_truncate();

-- An appointment written by hand wins over holds: those of other slots that it overlaps go, and of
-- its own class only the one with its seat. Then the days around old and new claims are
-- recalculated. Runs as the owner because only the owner writes slots and holds.
create or replace function booking.appointments_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_claims tstzrange[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_claims in
      with before_change as (
        select o.tenant_id, o.id, o.staff_id, o.location_id, o.claim, o.slot_id
        from old_rows o
        where o.status <> 'cancelled'
      ),
      after_change as (
        select n.tenant_id, n.id, n.staff_id, n.location_id, n.claim, n.slot_id
        from changed_rows n
        where n.status <> 'cancelled'
      ),
      changed as (
        (select * from before_change except select * from after_change)
        union all
        (select * from after_change except select * from before_change)
      )
      select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
      from changed c
      group by c.tenant_id
    loop
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_claims in
    select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim)
    from changed_rows c
    where c.status <> 'cancelled'
    group by c.tenant_id
  loop
    if tg_op = 'INSERT' then
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
    end if;
    perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
  end loop;
  return null;
end
$$;

create or replace trigger appointments_inserted
after insert on booking.appointments
referencing new table as changed_rows
for each statement execute function booking.appointments_changed();

create or replace trigger appointments_updated
after update on booking.appointments
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointments_changed();

create or replace trigger appointments_deleted
after delete on booking.appointments
referencing old table as changed_rows
for each statement execute function booking.appointments_changed();
