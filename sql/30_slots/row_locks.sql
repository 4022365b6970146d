-- BEFORE ROW triggers that take the locks of a raw write, so that the lock and the exclusion index
-- are always met in the same order. They run as the owner because nobody else may touch calendars;
-- check_caller, whose name sorts first, has refused strangers by then.

-- The calendars of the row as it was and as it will be.
create or replace function booking.lock_calendar_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    perform booking.lock_calendars(old.tenant_id, array[old.staff_id]);
    return old;
  end if;

  perform booking.lock_calendars(
    new.tenant_id, case when tg_op = 'UPDATE' then array[old.staff_id] end || new.staff_id
  );
  return new;
end
$$;

-- The same for tables whose rows decide whom a change of the tenant, a place or a type concerns:
-- the tenant's row is shared first, so that lock_tenant waits for this or makes it wait, then the
-- person's calendar is locked. A row for everyone (staff_id null) is such a wide change itself.
create or replace function booking.lock_schedule_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid := case when tg_op = 'DELETE' then old.tenant_id else new.tenant_id end;
  v_staff_ids uuid[] := case when tg_op <> 'DELETE' then array[new.staff_id] end
    || case when tg_op <> 'INSERT' then array[old.staff_id] end;
begin
  if array_position(v_staff_ids, null) is not null then
    perform booking.lock_tenant(v_tenant_id);
  else
    perform from booking.tenants t where t.id = v_tenant_id for share;
  end if;

  perform booking.lock_calendars(v_tenant_id, array_remove(v_staff_ids, null));
  return case when tg_op = 'DELETE' then old else new end;
end
$$;

-- For booking.staff itself, whose id is the calendar's.
create or replace function booking.lock_calendar_of_staff() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  perform from booking.tenants t where t.id = new.tenant_id for share;
  if tg_op = 'UPDATE' then
    perform booking.lock_calendars(new.tenant_id, array[new.id]);
  end if;
  return new;
end
$$;

-- For rows that concern many: the tenant's row before the first of them is written.
create or replace function booking.lock_tenant_of_row() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  perform booking.lock_tenant(case when tg_op = 'DELETE' then old.tenant_id else new.tenant_id end);
  return case when tg_op = 'DELETE' then old else new end;
end
$$;
