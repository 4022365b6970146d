-- appointments: whoever writes, the calendar is locked before the exclusion index is met, seats are
-- given out under that lock, and the slots follow in the same transaction.
--
--   before row        1 caller checked, 2 calendar locked, 3 seat taken (or slot cleared), 4 status
--   after statement   travel time to and from other places is asked for (23P01), holds it beats are
--                     deleted, the days around old and new claims recalculated, events written, and
--                     an audit row where no booking function writes one

-- Moving an appointment by hand takes it off its slot. Taking a seat copies the type's capacity, is
-- refused when attendees and holds fill the class, and gets the seat it asks for or else the lowest
-- free one (free_seat). Runs under the calendar's lock.
create or replace function booking.take_seat() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_group_type_id uuid;
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

  if new.status = 'cancelled' then
    return new;
  end if;

  new.seat := booking.free_seat(
    new.tenant_id, new.slot_id, new.capacity, new.seat, new.id
  );
  if new.seat is null then
    raise exception using
      errcode = 'exclusion_violation',
      message = format('all %s seats of this slot are taken', new.capacity);
  end if;
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

-- A status means something: what is completed or missed has begun, and what is cancelled is booked
-- again before anything else can become of it. Who cancelled and when is kept.
create or replace function booking.keep_status() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if new.status in ('completed', 'no_show')
    and (old.status = 'cancelled' or new.start_time > booking.now())
  then
    raise exception using
      errcode = 'check_violation',
      message = format(
        'status cannot become "%s": the appointment %s', new.status,
        case
          when old.status = 'cancelled' then 'is cancelled'
          else 'begins at ' || booking.iso_time(new.start_time)
        end
      );
  end if;

  if new.status = 'cancelled' then
    new.cancelled_at := booking.now();
    new.cancelled_by := coalesce(booking.caller_id(), new.cancelled_by);
  elsif old.status = 'cancelled' then
    new.cancelled_at := null;
    new.cancelled_by := null;
    new.cancel_reason := null;
  end if;
  return new;
end
$$;

create or replace trigger appointments_4_keep_status
before update on booking.appointments
for each row when (old.status <> new.status)
execute function booking.keep_status();

create or replace trigger appointments_5_touch_updated_at
before update on booking.appointments
for each row execute function booking.touch_updated_at();

create or replace trigger appointments_refuse_other_key
before update of tenant_id, id on booking.appointments
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger appointments_refuse_truncate
before truncate on booking.appointments
for each statement execute function booking.refuse_truncate();

-- An appointment written by hand wins over holds: those of other slots that it overlaps or leaves
-- no time to travel to go, and of its own class only the one with its seat. Over appointments
-- nobody wins: where there is no time to travel the write fails. Then the days around old and new
-- claims are recalculated. Runs as the owner because only the owner writes slots and holds.
create or replace function booking.appointments_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_claims tstzrange[];
  v_new_ids uuid[];
begin
  if tg_op = 'UPDATE' then
    for v_tenant_id, v_staff_ids, v_claims, v_new_ids in
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
        select gone.*, false as is_new
        from (select * from before_change except select * from after_change) as gone
        union all
        select come.*, true
        from (select * from after_change except select * from before_change) as come
      )
      select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim),
        array_agg(c.id) filter (where c.is_new)
      from changed c
      group by c.tenant_id
    loop
      perform booking.require_travel_time(v_tenant_id, v_new_ids);
      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);
      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);
    end loop;
    return null;
  end if;

  for v_tenant_id, v_staff_ids, v_claims, v_new_ids in
    select c.tenant_id, array_agg(c.staff_id), array_agg(c.claim), array_agg(c.id)
    from changed_rows c
    where c.status <> 'cancelled'
    group by c.tenant_id
  loop
    if tg_op = 'INSERT' then
      perform booking.require_travel_time(v_tenant_id, v_new_ids);
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

-- What happened, for the outbox and the audit trail, whoever wrote it. Events tell of what lies
-- ahead; an appointment that comes from another system (external_id) has been told of there. Direct
-- writes leave an audit row here; attempt() writes one itself and says so by booking.is_audited.
-- Runs as the owner because only the owner writes either table.
create or replace function booking.appointments_recorded() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
-- Planned once a session: to plan costs more than what is planned.
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_caller_id uuid := booking.caller_id();
  v_caller_role text := coalesce(booking.caller_role(), session_user);
  v_is_direct boolean := coalesce(current_setting('booking.is_audited', true), '') <> 'on';
  v_address_hash bytea;
  v_before booking.appointments[];
  v_after booking.appointments[];
begin
  if v_is_direct then
    v_address_hash := booking.address_hash();
  end if;
  if tg_op <> 'INSERT' then
    v_before := array(select o from old_rows o);
  end if;
  if tg_op <> 'DELETE' then
    v_after := array(select n from changed_rows n);
  end if;

  with changes as materialized (
    select
      coalesce(n.tenant_id, o.tenant_id) as tenant_id,
      coalesce(n.id, o.id) as appointment_id,
      coalesce(n.staff_id, o.staff_id) as staff_id,
      coalesce(n.slot_id, o.slot_id) as slot_id,
      case
        when n.id is null then 'delete_appointment'
        when o.id is null or (o.status = 'cancelled' and n.status <> 'cancelled')
        then 'create_appointment'
        when n.status = 'cancelled' and o.status <> 'cancelled' then 'cancel_appointment'
        when (o.staff_id, o.location_id, o.start_time, o.end_time)
          is distinct from (n.staff_id, n.location_id, n.start_time, n.end_time)
        then 'reschedule_appointment'
        when o.status <> n.status then 'change_status'
      end as action,
      o.payment_status <> n.payment_status as is_payment,
      n.end_time > v_now or o.end_time > v_now as is_ahead,
      o.id is null and n.external_id is not null as is_imported,
      o.start_time as old_start_time, o.end_time as old_end_time, o.staff_id as old_staff_id,
      o.location_id as old_location_id, o.status as old_status, n as row
    from unnest(v_after) as n
    full join unnest(v_before) as o on o.tenant_id = n.tenant_id and o.id = n.id
  ),
  audited as (
    insert into booking.audit_log (
      tenant_id, action, outcome, actor_id, actor_role, address_hash, slot_id, appointment_id,
      staff_id, details
    )
    select c.tenant_id, c.action, 'success', v_caller_id, v_caller_role, v_address_hash, c.slot_id,
      c.appointment_id, c.staff_id,
      jsonb_build_object('is_direct', true) || case
        when c.action = 'change_status'
        then jsonb_build_object('from', c.old_status, 'to', (c.row).status)
        else '{}'
      end
    from changes c
    where c.action is not null and v_is_direct
  )
  insert into booking.events (tenant_id, kind, appointment_id, payload)
  select c.tenant_id, event.kind, c.appointment_id,
    jsonb_build_object(
      'status', (c.row).status,
      'start_time', booking.iso_time((c.row).start_time),
      'end_time', booking.iso_time((c.row).end_time),
      'staff_id', (c.row).staff_id,
      'location_id', (c.row).location_id,
      'appointment_type_id', (c.row).appointment_type_id,
      'payment_status', (c.row).payment_status,
      'price_cents', (c.row).price_cents,
      'currency', (c.row).currency,
      'source', (c.row).source
    ) || case
      when event.kind = 'moved' then jsonb_build_object('from', jsonb_build_object(
        'start_time', booking.iso_time(c.old_start_time),
        'end_time', booking.iso_time(c.old_end_time),
        'staff_id', c.old_staff_id,
        'location_id', c.old_location_id
      ))
      when event.kind = 'payment'
      then jsonb_build_object('payment_reference', (c.row).payment_reference)
      else '{}'
    end
  from changes c
  cross join lateral (
    select case c.action
      when 'create_appointment' then case when (c.row).status <> 'cancelled' then 'booked' end
      when 'reschedule_appointment' then case when (c.row).status <> 'cancelled' then 'moved' end
      when 'cancel_appointment' then 'cancelled'
    end as kind
    where c.is_ahead and not c.is_imported
    union all
    select 'payment' where c.is_payment
  ) as event
  where event.kind is not null;
  return null;
end
$$;

create or replace trigger appointments_recorded_on_insert
after insert on booking.appointments
referencing new table as changed_rows
for each statement execute function booking.appointments_recorded();

create or replace trigger appointments_recorded_on_update
after update on booking.appointments
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointments_recorded();

create or replace trigger appointments_recorded_on_delete
after delete on booking.appointments
referencing old table as old_rows
for each statement execute function booking.appointments_recorded();
