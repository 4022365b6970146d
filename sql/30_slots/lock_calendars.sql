-- The lock that every writer takes: one person's calendar, by raising its revision, several in
-- staff_id order. An UPDATE and not a bare lock, so that a REPEATABLE READ writer fails with 40001
-- instead of publishing from an old snapshot. Once per transaction, or long ones turn quadratic.
-- Look at nothing before it, and look in a statement of its own.

-- Whether this transaction wrote a row version that it sees, itself or in a savepoint: one that is
-- seen and not committed. A wrong "no" only raises a revision twice.
create or replace function booking.is_own_version(p_xmin xid) returns boolean
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_own bigint := pg_current_xact_id()::text::bigint;
  -- How much younger than this transaction its writer is, on the circle of 32-bit ids.
  v_distance bigint := mod(
    p_xmin::text::bigint - mod(v_own, 4294967296) + 4294967296 + 2147483648, 4294967296
  ) - 2147483648;
begin
  if v_distance <= 0 then
    return v_distance = 0;
  end if;
  return pg_xact_status((v_own + v_distance)::text::xid8) = 'in progress';
exception when invalid_parameter_value then
  -- A row frozen long ago, whose 32-bit id has not been given out again yet.
  return false;
end
$$;

comment on function booking.is_own_version(xid) is
  'Whether the current transaction, or a savepoint of it, wrote a row version with this xmin.';

create or replace function booking.lock_calendars(p_tenant_id uuid, p_staff_ids uuid[])
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_staff_ids uuid[] := p_staff_ids;
  v_staff_id uuid;
begin
  -- One person is the rule, and in order.
  if cardinality(v_staff_ids) is distinct from 1 then
    v_staff_ids := array(select distinct s.id from unnest(p_staff_ids) as s(id) order by s.id);
  end if;

  foreach v_staff_id in array v_staff_ids loop
    update booking.calendars c
    set revision = c.revision + 1
    where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id
      and not booking.is_own_version(c.xmin);

    if not found and not exists (
      select from booking.calendars c
      where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id
    ) then
      raise exception using
        errcode = 'foreign_key_violation',
        message = format('staff_id %s is nobody''s calendar', v_staff_id),
        hint = 'Insert the staff member first; the calendar comes with them.';
    end if;
  end loop;
end
$$;

comment on function booking.lock_calendars(uuid, uuid[]) is
  'Locks these calendars until the transaction ends and raises their revisions, in staff_id order.';
