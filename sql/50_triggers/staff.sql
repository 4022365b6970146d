-- staff: a calendar comes with each person; activity and preferences change the person's horizon.

create or replace function booking.create_calendar() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  insert into booking.calendars (tenant_id, staff_id, materialized_until)
  values (new.tenant_id, new.id, booking.materialization_end(new.tenant_id));
  return null;
end
$$;

create or replace function booking.staff_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_staff_ids uuid[];
begin
  for v_tenant_id, v_staff_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (o.is_active, o.max_appointments_per_day, o.compact_schedule)
      is distinct from (n.is_active, n.max_appointments_per_day, n.compact_schedule)
    group by n.tenant_id
  loop
    perform booking.refresh_slots(v_tenant_id, v_staff_ids, null, null);
  end loop;
  return null;
end
$$;

-- Foreign keys have seen to it that nothing but slots is left of a person who is deleted.
create or replace function booking.staff_deleted() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  delete from booking.availability_slots s
  using changed_rows o
  where s.tenant_id = o.tenant_id and s.staff_id = o.id;
  return null;
end
$$;

create or replace trigger staff_2_share_tenant
before insert on booking.staff
for each row execute function booking.lock_calendar_of_staff();

create or replace trigger staff_2_lock_calendar
before update on booking.staff
for each row when (
  (old.is_active, old.max_appointments_per_day, old.compact_schedule)
  is distinct from (new.is_active, new.max_appointments_per_day, new.compact_schedule)
)
execute function booking.lock_calendar_of_staff();

create or replace trigger staff_3_touch_updated_at
before update on booking.staff
for each row execute function booking.touch_updated_at();

create or replace trigger staff_refuse_other_key
before update of tenant_id, id on booking.staff
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger staff_refuse_truncate
before truncate on booking.staff
for each statement execute function booking.refuse_truncate();

create or replace trigger staff_inserted
after insert on booking.staff
for each row execute function booking.create_calendar();

create or replace trigger staff_updated
after update on booking.staff
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.staff_changed();

create or replace trigger staff_deleted
after delete on booking.staff
referencing old table as changed_rows
for each statement execute function booking.staff_deleted();
