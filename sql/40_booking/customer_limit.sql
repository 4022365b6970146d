-- At most so many open appointments per customer: tenants.max_open_appointments_per_customer (null:
-- any number). Open is pending or confirmed and not over yet. create_appointment keeps the limit;
-- what the tenant writes directly counts, but is never refused.
--
-- The lock is on the customer and not on their appointments, because two bookings at once may be in
-- two people's calendars and see nothing of each other. First lock_customer, then the calendars,
-- then look in a statement of its own.

-- Whom a booking is for, for the limit: the user who is signed in, else the guest by the email
-- address that was given (trimmed, in any case), or without one by the digits of the phone number.
-- Never by more than one of them: what a user writes into a form makes them nobody else.
create or replace function booking.customer_key(p_customer_id uuid, p_customer jsonb)
returns text
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(
    'user ' || p_customer_id,
    'email ' || nullif(lower(btrim(p_customer ->> 'email')), ''),
    'phone ' || nullif(regexp_replace(p_customer ->> 'phone', '[^0-9]', '', 'g'), '')
  )
$$;

comment on function booking.customer_key(uuid, jsonb) is
  'Whom an appointment is for: the user, else the guest by email address, else by phone number; null
where nothing tells.';

-- Lets the bookings of one customer of a tenant come one after the other until the transaction
-- ends, where the tenant has a limit. Before any calendar. An old snapshot would count the bookings
-- of yesterday, and no lock could tell: REPEATABLE READ raises 25000.
create or replace function booking.lock_customer(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_customer jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform
  from booking.tenants t
  where t.id = p_tenant_id and t.max_open_appointments_per_customer is not null;
  if found then
    if current_setting('transaction_isolation') = 'repeatable read' then
      raise exception using
        errcode = 'invalid_transaction_state',
        message = 'booking where max_open_appointments_per_customer is set needs a READ COMMITTED '
          'transaction',
        detail = 'This one is REPEATABLE READ.';
    end if;
    perform pg_advisory_xact_lock(hashtextextended(
      p_tenant_id || ' ' || booking.customer_key(p_customer_id, p_customer), 0
    ));
  end if;
end
$$;

comment on function booking.lock_customer(uuid, uuid, jsonb) is
  'Makes bookings of the same customer wait for this transaction, where the tenant has a limit.';

-- Refuses customer_limit_reached where the customer has as many open appointments as the tenant
-- allows. Guests' are looked for among all that lie ahead, person by person, as calendars are read.
create or replace function booking.require_within_customer_limit(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_customer jsonb
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_most integer := (
    select t.max_open_appointments_per_customer from booking.tenants t where t.id = p_tenant_id
  );
  v_open integer;
begin
  if v_most is null then
    return;
  end if;

  if p_customer_id is not null then
    select count(*) into v_open
    from booking.appointments a
    where a.tenant_id = p_tenant_id and a.customer_id = p_customer_id
      and a.status in ('pending', 'confirmed') and a.end_time > v_now;
  else
    select count(*) into v_open
    from booking.calendars c
    cross join lateral (
      select
      from booking.appointments a
      where a.tenant_id = c.tenant_id and a.staff_id = c.staff_id and a.customer_id is null
        and a.status <> 'cancelled' and a.status in ('pending', 'confirmed')
        and upper(a.claim) > v_now and a.end_time > v_now
        and booking.customer_key(a.customer_id, a.customer)
          = booking.customer_key(p_customer_id, p_customer)
      offset 0
    ) as a
    where c.tenant_id = p_tenant_id;
  end if;

  if v_open >= v_most then
    perform booking.refuse(
      'customer_limit_reached',
      format(
        'This customer has %s open %s here already; no more than %s can be booked ahead.',
        v_open, case v_open when 1 then 'appointment' else 'appointments' end, v_most
      ),
      null, 'Cancel one of them, or book again once one of them is over.'
    );
  end if;
end
$$;

comment on function booking.require_within_customer_limit(uuid, uuid, jsonb) is
  'Refuses a booking (customer_limit_reached) of whom has the most open appointments that the tenant
allows.';
