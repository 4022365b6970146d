-- The tenant that everything is measured on: everybody at work from 9 to 17 on every day of the
-- horizon, appointments of three lengths at a step of a quarter of an hour, every third day an
-- appointment at ten, every fifth something else at half past one. Nothing is published yet.
insert into booking.tenants (id, name, timezone, is_active, precompute_days, booking_horizon_days)
values ($tenant, 'Benchmark', 'Europe/Berlin', false, $days - 1, $days - 1);

insert into booking.locations (tenant_id, name) values ($tenant, 'Here');

insert into booking.appointment_types (tenant_id, code, name, duration_minutes)
select $tenant, 'M' || minutes, minutes || ' minutes', minutes
from unnest($durations::integer[]) as minutes;

insert into booking.staff (tenant_id, display_name)
select $tenant, 'Person ' || n from generate_series(1, $staff) as n;

insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
select $tenant, s.id, t.id
from booking.staff s
join booking.appointment_types t on t.tenant_id = s.tenant_id
where s.tenant_id = $tenant
order by s.id;

insert into booking.working_hours (tenant_id, staff_id, location_id, weekday, start_time, end_time)
select $tenant, s.id, l.id, weekday, '09:00', '17:00'
from booking.staff s
join booking.locations l on l.tenant_id = s.tenant_id
cross join generate_series(1, 7) as weekday
where s.tenant_id = $tenant
order by s.id;

insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time
)
select $tenant, s.id, l.id, t.id, day + interval '10 hours', day + interval '11 hours'
from booking.staff s
join booking.locations l on l.tenant_id = s.tenant_id
join booking.appointment_types t on t.tenant_id = s.tenant_id and t.duration_minutes = 60
cross join lateral (
  select (current_date + n)::timestamp at time zone 'Europe/Berlin' as day
  from generate_series(1, $days - 1, 3) as n
) as days
where s.tenant_id = $tenant
order by s.id, day;

insert into booking.busy_times (tenant_id, staff_id, start_time, end_time)
select $tenant, s.id, day + interval '13.5 hours', day + interval '14.25 hours'
from booking.staff s
cross join lateral (
  select (current_date + n)::timestamp at time zone 'Europe/Berlin' as day
  from generate_series(2, $days - 1, 5) as n
) as days
where s.tenant_id = $tenant
order by s.id, day;

-- As if it had always been active.
set session_replication_role = replica;
update booking.tenants set is_active = true where id = $tenant;
reset session_replication_role;

-- Nobody is kept from calling.
update booking.settings
set trusted_proxies = 0, reads_per_minute = 1000000, reserves_per_minute = 1000000,
  bookings_per_minute = 1000000;

-- What things are compared with.
create schema bench;
grant usage on schema bench to anon;
create table bench.slots (like booking.availability_slots including all) with (fillfactor = 90);
create table bench.appointments (like booking.appointments including all);
create unlogged table bench.targets (client integer, n integer, slot_id uuid,
  primary key (client, n));
create unlogged table bench.counters (client integer primary key, n integer not null default 0)
  with (fillfactor = 10);
grant select on bench.targets to anon;
