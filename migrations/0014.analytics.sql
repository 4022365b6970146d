-- Analytics: searches that were counted, and what each day came to, so that figures over years need
-- none of the rows they were made from. Nothing here names a customer. No foreign keys: what a day
-- came to stays, whatever becomes of what it names, and the way back need not lock tenants, which
-- everybody reads.
-- depends: 0013.busy_times_by_end

set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

alter table booking.settings
  add column search_sample integer not null default 10,
  add constraint search_sample_is_1_to_10000 check (search_sample between 1 and 10000);

comment on column booking.settings.search_sample is
  'One in so many searches is recorded, and stands for as many. 1: each.';

comment on column booking.tenants.counts_searches is
  'Whether searches (listings that are asked for by POST) are counted for the tenant''s analytics.';

create table booking.searches (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  searched_at timestamptz not null default booking.now(),
  staff_id uuid,
  appointment_type_id uuid,
  has_result boolean not null,
  stands_for integer not null,
  primary key (tenant_id, id),
  constraint stands_for_is_positive check (stands_for > 0)
);

create index searches_tenant_id_searched_at_idx on booking.searches (tenant_id, searched_at);

create index searches_searched_at_idx on booking.searches using brin (searched_at);

comment on table booking.searches is
  'A sample of the listings that were asked for by POST: of whom and what (null: anyone, anything),
whether there was a result, and how many searches the row stands for. Nothing of who asked.';

create table booking.rollups (
  tenant_id uuid primary key,
  rolled_until date not null,
  retry_at timestamptz not null default '-infinity',
  last_error text
);

comment on table booking.rollups is
  'The last date (tenant''s zone) whose figures stand in daily_*; those of later dates are worked
out when asked for. A tenant that failed keeps its error and is tried again at retry_at.';

create table booking.daily_attempts (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  date date not null,
  hour integer not null,
  staff_id uuid,
  appointment_type_id uuid,
  action text not null,
  code text,
  attempts bigint not null,
  timed bigint not null,
  seconds bigint not null,
  primary key (tenant_id, id),
  constraint attempts_action_is_known check (action in ('search', 'hold', 'book'))
);

create index daily_attempts_tenant_id_date_idx on booking.daily_attempts (tenant_id, date);

comment on table booking.daily_attempts is
  'What was tried in an hour (tenant''s zone): searches, holds, bookings. code null: it succeeded,
else the refusal; of a search "without_result". seconds: from the first hold to the booking, in all,
of the bookings that are timed.';

create table booking.daily_supply (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  date date not null,
  week date not null,
  hour integer not null,
  staff_id uuid not null,
  location_id uuid not null,
  offered bigint not null,
  working_minutes bigint not null,
  primary key (tenant_id, id)
);

create index daily_supply_tenant_id_date_idx on booking.daily_supply (tenant_id, date);

create index daily_supply_tenant_id_week_idx on booking.daily_supply (tenant_id, week);

comment on table booking.daily_supply is
  'What people had to offer in an hour (the place''s zone): starts on their grid, booked or not,
each once whatever the service, but for those in busy times; and minutes of working time. week is
the date''s Monday: row-level security lets no expression use an index.';

create table booking.daily_holds (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  held_on date not null,
  date date not null,
  hour integer not null,
  staff_id uuid not null,
  location_id uuid not null,
  held bigint not null,
  primary key (tenant_id, id)
);

create index daily_holds_tenant_id_date_idx on booking.daily_holds (tenant_id, date);

comment on table booking.daily_holds is
  'Which starts were held: date and hour (the place''s zone) of the slots, and the date (tenant''s
zone) on which it was done.';

create table booking.daily_bookings (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  date date not null,
  staff_id uuid not null,
  appointment_type_id uuid not null,
  bookings bigint not null,
  kept bigint not null,
  primary key (tenant_id, id)
);

create index daily_bookings_tenant_id_date_idx on booking.daily_bookings (tenant_id, date);

comment on table booking.daily_bookings is
  'Appointments that were booked through create_appointment, by the date (tenant''s zone) on which
that was done; kept are those that were neither cancelled nor missed since.';

create table booking.daily_appointments (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  date date not null,
  week date not null,
  hour integer not null,
  staff_id uuid not null,
  location_id uuid not null,
  appointment_type_id uuid not null,
  appointments bigint not null,
  cancelled bigint not null,
  cancelled_late bigint not null,
  no_shows bigint not null,
  notice_minutes bigint not null,
  starts bigint not null,
  booked_minutes bigint not null,
  buffer_minutes bigint not null,
  travel_minutes bigint not null,
  lead_minutes bigint not null,
  same_day bigint not null,
  days_1_to_6 bigint not null,
  days_7_to_29 bigint not null,
  days_30_or_more bigint not null,
  primary key (tenant_id, id)
);

create index daily_appointments_tenant_id_date_idx on booking.daily_appointments (tenant_id, date);

create index daily_appointments_tenant_id_week_idx
  on booking.daily_appointments (tenant_id, week);

comment on table booking.daily_appointments is
  'What became of the appointments that begin in an hour (the place''s zone), and how much of a
person''s time they take; see booking.appointments_of.';

alter table booking.searches enable row level security;
alter table booking.rollups enable row level security;
alter table booking.daily_attempts enable row level security;
alter table booking.daily_supply enable row level security;
alter table booking.daily_holds enable row level security;
alter table booking.daily_bookings enable row level security;
alter table booking.daily_appointments enable row level security;

insert into booking.jobs (name, schedule, command, late_after_minutes, description)
values (
  'roll_up', '27 * * * *', 'select booking.roll_up_next()', 130,
  'Sums up the days that are over, for analytics'
)
on conflict (name) do update
set schedule = excluded.schedule, command = excluded.command,
  late_after_minutes = excluded.late_after_minutes, description = excluded.description;
