-- At least one row in every table of "booking", the way rows come there: tables by insert, shapes,
-- calendars and slots by trigger. The stairway test rolls back over them.

insert into booking.tenants (id, name, timezone)
values ('00000000-0000-4000-a000-000000000001', 'Salon', 'Europe/Vienna');

insert into booking.tenant_slugs (slug, tenant_id)
values ('salon', '00000000-0000-4000-a000-000000000001');

insert into booking.locations (tenant_id, id, name)
values
  (
    '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000011', 'Main street'
  ),
  (
    '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000012', 'Station'
  );

insert into booking.staff (tenant_id, id, display_name)
values ('00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000021', 'Ada');

insert into booking.members (tenant_id, user_id, role, staff_id)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000031', 'staff',
  '00000000-0000-4000-a000-000000000021'
);

insert into booking.appointment_types (tenant_id, id, code, name, duration_minutes)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000041', 'cut', 'Cut', 30
);

insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000021',
  '00000000-0000-4000-a000-000000000041'
);

insert into booking.working_hours (tenant_id, staff_id, location_id, weekday, start_time, end_time)
select
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000021',
  '00000000-0000-4000-a000-000000000011', weekday, '09:00', '17:00'
from generate_series(1, 7) as weekday;

insert into booking.breaks (tenant_id, start_time, end_time)
values ('00000000-0000-4000-a000-000000000001', '12:00', '12:30');

insert into booking.schedule_exceptions (tenant_id, first_date, last_date, kind)
values (
  '00000000-0000-4000-a000-000000000001', current_date + 20, current_date + 21, 'closed'
);

insert into booking.busy_times (tenant_id, staff_id, start_time, end_time)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000021',
  current_date + time '10:00', current_date + time '11:00'
);

insert into booking.travel_times (tenant_id, from_location_id, to_location_id, minutes)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000011',
  '00000000-0000-4000-a000-000000000012', 15
);

insert into booking.price_rules (tenant_id, adjustment_percent)
values ('00000000-0000-4000-a000-000000000001', 10);

insert into booking.appointments (
  tenant_id, id, staff_id, location_id, appointment_type_id, start_time, end_time
)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000051',
  '00000000-0000-4000-a000-000000000021', '00000000-0000-4000-a000-000000000011',
  '00000000-0000-4000-a000-000000000041', current_date + 2 + time '10:00',
  current_date + 2 + time '10:30'
);

insert into booking.slot_reservations (
  tenant_id, slot_id, staff_id, location_id, shape_id, start_time, claim, session_hash,
  appointment_type_id, expires_at
)
select
  s.tenant_id, s.id, s.staff_id, s.location_id, s.shape_id, s.start_time, s.claim,
  sha256('a session'), '00000000-0000-4000-a000-000000000041', booking.now() + interval '10 minutes'
from booking.availability_slots as s
where s.is_available
order by s.start_time desc
limit 1;

insert into booking.refresh_queue (tenant_id, staff_id, reason)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000021', 'an example'
);

insert into booking.audit_log (tenant_id, action, outcome)
values ('00000000-0000-4000-a000-000000000001', 'reserve_slot', 'success');

insert into booking.searches (tenant_id, has_result, stands_for)
values ('00000000-0000-4000-a000-000000000001', true, 10);

insert into booking.rollups (tenant_id, rolled_until)
values ('00000000-0000-4000-a000-000000000001', '2026-01-01');

insert into booking.daily_attempts (tenant_id, date, hour, action, attempts, timed, seconds)
values ('00000000-0000-4000-a000-000000000001', '2026-01-01', 9, 'search', 10, 0, 0);

insert into booking.daily_supply (
  tenant_id, date, week, hour, staff_id, location_id, offered, working_minutes
)
select s.tenant_id, '2026-01-01', '2025-12-29', 9, s.staff_id, s.location_id, 4, 60
from booking.availability_slots as s
limit 1;

insert into booking.daily_holds (tenant_id, held_on, date, hour, staff_id, location_id, held)
select s.tenant_id, '2026-01-01', '2026-01-01', 9, s.staff_id, s.location_id, 1
from booking.availability_slots as s
limit 1;

insert into booking.daily_bookings (
  tenant_id, date, staff_id, appointment_type_id, bookings, kept
)
select a.tenant_id, '2026-01-01', a.staff_id, a.appointment_type_id, 1, 1
from booking.appointments as a
limit 1;

insert into booking.daily_appointments (
  tenant_id, date, week, hour, staff_id, location_id, appointment_type_id, appointments, cancelled,
  cancelled_late, no_shows, notice_minutes, starts, booked_minutes, buffer_minutes, travel_minutes,
  lead_minutes, same_day, days_1_to_6, days_7_to_29, days_30_or_more
)
select
  a.tenant_id, '2026-01-01', '2025-12-29', 9, a.staff_id, a.location_id, a.appointment_type_id, 1,
  0, 0, 0, 0, 1, 30, 0, 0, 60, 1, 0, 0, 0
from booking.appointments as a
limit 1;

insert into booking.events (tenant_id, kind, appointment_id)
values (
  '00000000-0000-4000-a000-000000000001', 'booked', '00000000-0000-4000-a000-000000000051'
);

insert into booking.jobs (name, schedule, command)
values ('an_example', '* * * * *', 'select 1');

insert into booking.job_runs (job_name) values ('an_example');

insert into booking.verification_runs (tenant_id, id)
values ('00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000061');

insert into booking.verification_differences (tenant_id, run_id, promise, kind, reason)
values (
  '00000000-0000-4000-a000-000000000001', '00000000-0000-4000-a000-000000000061', 'P2', 'missing',
  'an example'
);

insert into booking.rate_limits (bucket, key, tat) values ('reserve', 'a hash', booking.now());

insert into booking.accepted_causes (tenant_id, cause)
values ('00000000-0000-4000-a000-000000000001', 'buffers');
