-- slot_reservations: holds change who may book until when, so the hold columns of the slots they
-- overlap follow in the same transaction. Whoever deletes holds of a calendar that others may book
-- in locks it first, or the two wait for each other: a raw DELETE has the hold before the
-- calendar. Runs as the owner because only the owner writes slots.
--
-- A booking function that puts an appointment in the hold's place in the same transaction says so
-- by booking.refresh_follows: the appointment's trigger then publishes the days around both.
--
-- Mostly the hold columns around them are all that changes (refresh_holds). Days are calculated
-- anew where a person has a day limit, and where a hold's slot is not published as available: it
-- may be there for its hold alone, and go with it.
create or replace function booking.slot_reservations_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
-- Planned once a session. What is set here holds for what is called below, too, and the calculator
-- hashes: no way to join is switched off.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_rows booking.slot_reservations[];
  v_tenant_id uuid;
  v_staff_ids uuid[];
  v_location_ids uuid[];
  v_claims tstzrange[];
  v_day_staff_ids uuid[];
  v_day_claims tstzrange[];
begin
  if current_setting('booking.refresh_follows', true) = 'on' then
    return null;
  end if;

  if tg_op = 'UPDATE' then
    v_rows := array(select o from old_rows o union all select n from changed_rows n);
  else
    v_rows := array(select c from changed_rows c);
  end if;

  for v_tenant_id, v_staff_ids, v_location_ids, v_claims, v_day_staff_ids, v_day_claims in
    select h.tenant_id,
      array_agg(h.staff_id) filter (where not h.is_of_days),
      array_agg(h.location_id) filter (where not h.is_of_days),
      array_agg(h.claim) filter (where not h.is_of_days),
      array_agg(h.staff_id) filter (where h.is_of_days),
      array_agg(h.claim) filter (where h.is_of_days)
    from (
      select r.tenant_id, r.staff_id, r.location_id, r.claim,
        p.max_appointments_per_day is not null
          or not coalesce(s.is_available, tg_op = 'DELETE') as is_of_days
      from unnest(v_rows) as r
      join booking.staff p on p.tenant_id = r.tenant_id and p.id = r.staff_id
      -- One look at the index for each hold, whatever the planner expects.
      cross join lateral (
        select (
          select t.is_available
          from booking.availability_slots t
          where t.tenant_id = r.tenant_id and t.id = r.slot_id
        ) as is_available
      ) as s
    ) as h
    group by h.tenant_id
  loop
    if v_staff_ids is not null then
      perform booking.refresh_holds(v_tenant_id, v_staff_ids, v_location_ids, v_claims);
    end if;
    if v_day_staff_ids is not null then
      perform booking.refresh_around(v_tenant_id, v_day_staff_ids, v_day_claims);
    end if;
  end loop;
  return null;
end
$$;

-- Under the lock: expired holds go before a new one comes, what the shape and type say is filled
-- in, and a live appointment is refused as it would be by the other side.
create or replace function booking.check_hold() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
-- One look at the index for each hold, whatever was in the tables when the plans were made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval;
begin
  if tg_op = 'UPDATE' and new.slot_id = old.slot_id then
    return new;
  end if;

  if tg_op = 'INSERT' then
    perform
    from booking.slot_reservations h
    where h.tenant_id = new.tenant_id and h.staff_id = new.staff_id and h.expires_at <= v_now;
    -- Seldom, and the statement's own triggers cost more than to look.
    if found then
      delete from booking.slot_reservations h
      where h.tenant_id = new.tenant_id and h.staff_id = new.staff_id and h.expires_at <= v_now;
    end if;
  end if;

  select
    booking.claim_of(
      new.start_time, new.start_time + sh.duration_minutes * interval '1 minute',
      sh.buffer_before_minutes, sh.buffer_after_minutes
    ),
    coalesce(t.capacity, 1)
  into new.claim, new.capacity
  from booking.slot_shapes sh
  left join booking.appointment_types t on t.tenant_id = sh.tenant_id and t.id = sh.group_type_id
  where sh.tenant_id = new.tenant_id and sh.id = new.shape_id;

  v_way := booking.longest_travel(new.tenant_id);
  if exists (
    select from booking.appointments a
    where a.tenant_id = new.tenant_id and a.staff_id = new.staff_id
      and a.claim && booking.widened(new.claim, v_way)
      and upper(a.claim) > lower(new.claim) - v_way and a.status <> 'cancelled'
      and (a.slot_id is distinct from new.slot_id or a.seat = new.seat)
      and new.claim && booking.barred_period(
        new.tenant_id, a.claim, a.location_id, new.location_id
      )
  ) then
    raise exception using
      errcode = 'exclusion_violation',
      message = 'a hold cannot overlap a live appointment or the way to or from it';
  end if;
  return new;
end
$$;

create or replace trigger slot_reservations_1_check_caller
before insert or update or delete on booking.slot_reservations
for each row execute function booking.check_caller();

create or replace trigger slot_reservations_2_lock_calendar
before insert or update or delete on booking.slot_reservations
for each row execute function booking.lock_calendar_of_row();

create or replace trigger slot_reservations_3_check_hold
before insert or update on booking.slot_reservations
for each row execute function booking.check_hold();

create or replace trigger slot_reservations_refuse_other_key
before update of tenant_id, id on booking.slot_reservations
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger slot_reservations_refuse_truncate
before truncate on booking.slot_reservations
for each statement execute function booking.refuse_truncate();

create or replace trigger slot_reservations_inserted
after insert on booking.slot_reservations
referencing new table as changed_rows
for each statement execute function booking.slot_reservations_changed();

create or replace trigger slot_reservations_updated
after update on booking.slot_reservations
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.slot_reservations_changed();

create or replace trigger slot_reservations_deleted
after delete on booking.slot_reservations
referencing old table as changed_rows
for each statement execute function booking.slot_reservations_changed();
