-- Figures of appointments that were booked through create_appointment, by the date on which that
-- was done (tenant's zone), with the person and the service that they have now. Kept are those that
-- were neither cancelled nor missed until now.
create or replace function booking.bookings_of(p_tenant_id uuid, p_days daterange)
returns setof booking.daily_bookings
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_zone text;
  v_from timestamptz;
  v_until timestamptz;
begin
  select t.timezone, booking.first_instant(lower(p_days), t.timezone),
    booking.first_instant(upper(p_days), t.timezone)
  into v_zone, v_from, v_until
  from booking.tenants t
  where t.id = p_tenant_id;

  return query
  select
    p_tenant_id, gen_random_uuid(), (a.created_at at time zone v_zone)::date, a.staff_id,
    a.appointment_type_id, count(*),
    count(*) filter (where a.status not in ('cancelled', 'no_show'))
  from booking.appointments a
  where a.tenant_id = p_tenant_id and a.source = 'api'
    and a.created_at >= v_from and a.created_at < v_until
  group by (a.created_at at time zone v_zone)::date, a.staff_id, a.appointment_type_id;
end
$$;

comment on function booking.bookings_of(uuid, daterange) is
  'Bookings that were made on those dates (tenant''s zone), as booking.daily_bookings keeps them.';

create or replace function booking.live_bookings(p_tenant_id uuid)
returns setof booking.daily_bookings
language sql stable parallel safe security definer
set search_path = ''
as $$
  select b.* from booking.bookings_of(p_tenant_id, booking.live_days(p_tenant_id)) b
$$;

comment on function booking.live_bookings(uuid) is
  'booking.bookings_of the dates that are not rolled up yet, for the tenant''s admins.';

-- Inlined into the views, whose conditions it takes in: hence without a pinned search_path.
create or replace function booking.bookings_by_day() returns table (
  tenant_id uuid,
  date date,
  staff_id uuid,
  appointment_type_id uuid,
  bookings bigint,
  kept bigint
)
language sql stable parallel safe
as $$
  select r.tenant_id, r.date, r.staff_id, r.appointment_type_id, r.bookings, r.kept
  from booking.daily_bookings r
  union all
  select t.tenant_id, r.date, r.staff_id, r.appointment_type_id, r.bookings, r.kept
  from booking.analysed_tenants() t
  cross join lateral booking.live_bookings(t.tenant_id) r
$$;

comment on function booking.bookings_by_day() is
  'booking.daily_bookings with the dates that are not rolled up yet.';
