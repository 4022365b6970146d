-- Works out anew what becomes of appointments and bookings on those dates: cancellations and missed
-- appointments come later than the day.
create or replace function booking.roll_up_outcomes(
  p_tenant_id uuid,
  p_days daterange,
  p_booked_days daterange
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  delete from booking.daily_appointments r where r.tenant_id = p_tenant_id and r.date <@ p_days;
  insert into booking.daily_appointments
  select a.* from booking.appointments_of(p_tenant_id, p_days) a;

  delete from booking.daily_bookings r where r.tenant_id = p_tenant_id and r.date <@ p_booked_days;
  insert into booking.daily_bookings
  select b.* from booking.bookings_of(p_tenant_id, p_booked_days) b;
end
$$;

comment on function booking.roll_up_outcomes(uuid, daterange, daterange) is
  'Rolls up appointments that begin on p_days and bookings that were made on p_booked_days, again.';

-- The job, one step: rolls up the next dates of a tenant (a month at most), and returns how many,
-- or 0 where none is due. A date is due when it is over for the tenant and everywhere on Earth.
-- Along with them those that appointments may have changed since: a month of starts, and of
-- bookings as many days more as one can book ahead. A tenant that fails keeps its error, is tried
-- again an hour later, and stops no other.
create or replace function booking.roll_up_next() returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_days constant integer := 31;
  c_settled_after_days constant integer := 31;
  v_now timestamptz := booking.now();
  v_tenant record;
  v_days daterange;
  v_error text;
begin
  -- A tenant's first date is that of whatever is there.
  insert into booking.rollups (tenant_id, rolled_until)
  select t.id, least(
    (v_now at time zone t.timezone)::date,
    (
      select (min(a.occurred_at) at time zone t.timezone)::date
      from booking.audit_log a
      where a.tenant_id = t.id
    ),
    (
      select (min(a.start_time) at time zone t.timezone)::date
      from booking.appointments a
      where a.tenant_id = t.id
    )
  ) - 1
  from booking.tenants t
  where not exists (select from booking.rollups r where r.tenant_id = t.id)
  on conflict do nothing;

  loop
    select r.tenant_id, r.rolled_until, t.booking_horizon_days, d.last_date into v_tenant
    from booking.tenants t
    join booking.rollups r on r.tenant_id = t.id
    cross join lateral (
      select least(
        (v_now at time zone t.timezone)::date, (v_now at time zone 'Etc/GMT+12')::date
      ) - 1 as last_date
    ) as d
    where r.rolled_until < d.last_date and r.retry_at <= v_now
    order by r.rolled_until
    limit 1
    for no key update of r skip locked;
    exit when not found;

    begin
      v_days := daterange(
        v_tenant.rolled_until + 1,
        least(v_tenant.rolled_until + c_most_days, v_tenant.last_date), '[]'
      );
      -- Nothing, unless somebody has put rolled_until back.
      delete from booking.daily_attempts r
      where r.tenant_id = v_tenant.tenant_id and r.date <@ v_days;
      delete from booking.daily_holds r
      where r.tenant_id = v_tenant.tenant_id and r.held_on <@ v_days and r.date >= lower(v_days);
      delete from booking.daily_supply r
      where r.tenant_id = v_tenant.tenant_id and r.date <@ v_days;

      insert into booking.daily_attempts
      select a.* from booking.attempts_of(v_tenant.tenant_id, v_days) a;
      insert into booking.daily_holds
      select h.* from booking.holds_of(v_tenant.tenant_id, v_days) h;
      insert into booking.daily_supply
      select s.* from booking.supply_of(v_tenant.tenant_id, v_days) s;
      perform booking.roll_up_outcomes(
        v_tenant.tenant_id,
        daterange(lower(v_days) - c_settled_after_days, upper(v_days)),
        daterange(
          lower(v_days) - c_settled_after_days - v_tenant.booking_horizon_days, upper(v_days)
        )
      );
      update booking.rollups r
      set rolled_until = upper(v_days) - 1, last_error = null
      where r.tenant_id = v_tenant.tenant_id;
      return upper(v_days) - lower(v_days);
    exception when others then
      get stacked diagnostics v_error = message_text;
      update booking.rollups r
      set last_error = v_error, retry_at = v_now + interval '1 hour'
      where r.tenant_id = v_tenant.tenant_id;
    end;
  end loop;
  return 0;
end
$$;

comment on function booking.roll_up_next() is
  'Rolls up the next dates of a tenant for its analytics; returns how many, or 0 if none is due.';

-- By hand, after past appointments were imported, or mended: what supply and appointments come to
-- on those dates, as far as they have been rolled up; hours, people and places as they are today.
-- What was tried on them stays as it was counted then.
create or replace function booking.roll_up_again(p_tenant_id uuid, p_from date, p_to date)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_rolled_until date;
  v_days daterange;
begin
  select r.rolled_until into v_rolled_until
  from booking.rollups r
  where r.tenant_id = p_tenant_id
  for no key update;
  if not found then
    -- The job's first step takes whatever is there.
    return;
  end if;

  v_days := daterange(p_from, least(p_to, v_rolled_until), '[]');
  delete from booking.daily_supply r where r.tenant_id = p_tenant_id and r.date <@ v_days;
  insert into booking.daily_supply
  select s.* from booking.supply_of(p_tenant_id, v_days) s;
  perform booking.roll_up_outcomes(p_tenant_id, v_days, v_days);
end
$$;

comment on function booking.roll_up_again(uuid, date, date) is
  'Rolls up supply, appointments and bookings of past dates (tenant''s zone, inclusive) once more.';
