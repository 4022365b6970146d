-- appointment_types: each finds its shape or makes it; what changes the slots concerns everyone who
-- offers the type.

-- Equal effective values share a shape; a class has its own, whose step, notice and advance change
-- in place. The tenant's row is locked before its defaults are read. Runs as the owner because
-- only the owner writes shapes.
create or replace function booking.find_shape() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_step_minutes integer;
  v_min_notice_minutes integer;
begin
  perform booking.lock_tenant(new.tenant_id);

  select coalesce(new.slot_step_minutes, t.slot_step_minutes),
    coalesce(new.min_notice_minutes, t.min_notice_minutes)
  into v_step_minutes, v_min_notice_minutes
  from booking.tenants t
  where t.id = new.tenant_id;

  if new.capacity > 1 and tg_op = 'INSERT' then
    -- Only a name yet: create_group_shape makes it once the row is really there, which it may
    -- never be (on conflict).
    new.shape_id := gen_random_uuid();
    return new;
  end if;

  if new.capacity > 1 then
    select sh.id into new.shape_id
    from booking.slot_shapes sh
    where sh.tenant_id = new.tenant_id and sh.group_type_id = new.id
      and sh.duration_minutes = new.duration_minutes
      and sh.buffer_before_minutes = new.buffer_before_minutes
      and sh.buffer_after_minutes = new.buffer_after_minutes;

    if found then
      -- Not "on conflict do update", which would lock the shape as if its key could change, and
      -- wait for bookers, who have the calendar and refer to the shape.
      update booking.slot_shapes sh
      set step_minutes = v_step_minutes,
        min_notice_minutes = v_min_notice_minutes,
        max_advance_days = new.max_advance_days
      where sh.tenant_id = new.tenant_id and sh.id = new.shape_id
        and (sh.step_minutes, sh.min_notice_minutes, sh.max_advance_days)
          is distinct from (v_step_minutes, v_min_notice_minutes, new.max_advance_days);
      return new;
    end if;

    insert into booking.slot_shapes as sh (
      tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
      min_notice_minutes, max_advance_days, group_type_id
    )
    values (
      new.tenant_id, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes,
      v_step_minutes, v_min_notice_minutes, new.max_advance_days, new.id
    )
    returning sh.id into new.shape_id;
    return new;
  end if;

  insert into booking.slot_shapes (
    tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
    min_notice_minutes, max_advance_days
  )
  values (
    new.tenant_id, new.duration_minutes, new.buffer_before_minutes, new.buffer_after_minutes,
    v_step_minutes, v_min_notice_minutes, new.max_advance_days
  )
  on conflict do nothing;

  select sh.id into new.shape_id
  from booking.slot_shapes sh
  where sh.tenant_id = new.tenant_id and sh.group_type_id is null
    and sh.duration_minutes = new.duration_minutes
    and sh.buffer_before_minutes = new.buffer_before_minutes
    and sh.buffer_after_minutes = new.buffer_after_minutes
    and sh.step_minutes = v_step_minutes
    and sh.min_notice_minutes = v_min_notice_minutes
    and sh.max_advance_days is not distinct from new.max_advance_days;
  return new;
end
$$;

-- The shape of a new class, under the name that find_shape gave it.
create or replace function booking.create_group_shape() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  insert into booking.slot_shapes (
    tenant_id, id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
    min_notice_minutes, max_advance_days, group_type_id
  )
  select
    new.tenant_id, new.shape_id, new.duration_minutes, new.buffer_before_minutes,
    new.buffer_after_minutes, coalesce(new.slot_step_minutes, t.slot_step_minutes),
    coalesce(new.min_notice_minutes, t.min_notice_minutes), new.max_advance_days, new.id
  from booking.tenants t
  where t.id = new.tenant_id;
  return null;
end
$$;

-- Shapes are never deleted, so neither is a type that has been a class.
create or replace function booking.refuse_class_delete() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if exists (
    select from booking.slot_shapes sh
    where sh.tenant_id = old.tenant_id and sh.group_type_id = old.id
  ) then
    raise exception using
      errcode = 'foreign_key_violation',
      message = format('appointment type "%s" is or was a class and cannot be deleted', old.code),
      detail = 'Its slots keep their ids as long as anything may name them.',
      hint = 'Set is_active to false.';
  end if;
  return old;
end
$$;

create or replace function booking.appointment_types_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_type_ids uuid[];
begin
  for v_tenant_id, v_type_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (
      o.shape_id, o.capacity, o.is_active, o.slot_step_minutes, o.min_notice_minutes,
      o.max_advance_days
    ) is distinct from (
      n.shape_id, n.capacity, n.is_active, n.slot_step_minutes, n.min_notice_minutes,
      n.max_advance_days
    )
    group by n.tenant_id
    order by n.tenant_id
  loop
    perform booking.lock_tenant(v_tenant_id);
    -- Also whoever offers it no more but has its slots booked or held: a class's capacity is
    -- theirs.
    perform booking.refresh_or_queue(v_tenant_id, array(
      select o.staff_id
      from booking.staff_appointment_types o
      where o.tenant_id = v_tenant_id and o.appointment_type_id = any (v_type_ids)
      union
      select a.staff_id
      from booking.appointments a
      where a.tenant_id = v_tenant_id and a.appointment_type_id = any (v_type_ids)
        and a.slot_id is not null
      union
      select h.staff_id
      from booking.slot_reservations h
      where h.tenant_id = v_tenant_id and h.appointment_type_id = any (v_type_ids)
      order by 1
    ), 'appointment_types changed');
  end loop;
  return null;
end
$$;

create or replace trigger appointment_types_2_find_shape
before insert or update of
  duration_minutes, buffer_before_minutes, buffer_after_minutes, slot_step_minutes, capacity,
  min_notice_minutes, max_advance_days, is_active, shape_id
on booking.appointment_types
for each row execute function booking.find_shape();

create or replace trigger appointment_types_3_touch_updated_at
before update on booking.appointment_types
for each row execute function booking.touch_updated_at();

create or replace trigger appointment_types_refuse_other_key
before update of tenant_id, id on booking.appointment_types
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger appointment_types_inserted
after insert on booking.appointment_types
for each row when (new.capacity > 1)
execute function booking.create_group_shape();

create or replace trigger appointment_types_refuse_class_delete
before delete on booking.appointment_types
for each row execute function booking.refuse_class_delete();

create or replace trigger appointment_types_refuse_truncate
before truncate on booking.appointment_types
for each statement execute function booking.refuse_truncate();

create or replace trigger appointment_types_updated
after update on booking.appointment_types
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.appointment_types_changed();
