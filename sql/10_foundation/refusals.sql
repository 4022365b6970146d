-- Trigger functions that refuse what no table may see. They raise before anything is written.

-- TRUNCATE fires no row triggers, so the slots would go on offering what no longer holds.
create or replace function booking.refuse_truncate() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = format('booking.%I cannot be truncated', tg_table_name),
    detail = 'TRUNCATE tells no trigger which rows went, so availability_slots could not follow.',
    hint = format('Use delete from booking.%I.', tg_table_name);
end
$$;

-- A row never changes tenant: every key, lock and statistic of a tenant hangs on it.
create or replace function booking.refuse_other_key() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'integrity_constraint_violation',
    message = format('tenant_id and id of booking.%I never change', tg_table_name),
    hint = 'Insert a new row and delete this one.';
end
$$;

-- The caller's token must cover the calendar before its lock is taken, or a stranger could make
-- others wait. Runs as the invoker: pgbooking's own workers, which run as the owner, have asked
-- already, and a direct connection is ruled by grants and policies.
create or replace function booking.check_caller() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if booking.caller_claims() is not null
    and not pg_has_role(current_user, 'booking_owner', 'member')
    and not (
      (tg_op = 'DELETE' or booking.caller_may_write(
        new.tenant_id, (to_jsonb(new) ->> 'staff_id')::uuid
      ))
      and (tg_op = 'INSERT' or booking.caller_may_write(
        old.tenant_id, (to_jsonb(old) ->> 'staff_id')::uuid
      ))
    )
  then
    raise exception using
      errcode = 'insufficient_privilege',
      message = 'this calendar is not yours to change';
  end if;
  return case when tg_op = 'DELETE' then old else new end;
end
$$;

-- Keeps updated_at.
create or replace function booking.touch_updated_at() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  new.updated_at := booking.now();
  return new;
end
$$;
