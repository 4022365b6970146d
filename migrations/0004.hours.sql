-- When people work, when they do not, and what lies between places and on top of prices.
-- depends: 0003.tenants

set local role booking_owner;

create table booking.working_hours (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  staff_id uuid not null,
  location_id uuid not null,
  weekday integer not null,
  start_time time not null,
  end_time time not null,
  valid_from date,
  valid_until date,
  external_id text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint working_hours_external_id_is_unique unique (tenant_id, external_id),
  constraint hours_are_of_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint hours_are_at_a_location_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint weekday_is_1_monday_to_7_sunday check (weekday between 1 and 7),
  constraint start_time_is_before_24_00 check (start_time < '24:00'),
  constraint hours_are_whole_minutes
    check (booking.is_whole_minute(start_time) and booking.is_whole_minute(end_time)),
  constraint valid_until_is_not_before_valid_from check (valid_from <= valid_until)
);

create index working_hours_tenant_id_staff_id_idx on booking.working_hours (tenant_id, staff_id);

create index working_hours_tenant_id_location_id_idx
  on booking.working_hours (tenant_id, location_id);

comment on table booking.working_hours is
  'Weekly hours in local time of the location: weekday by ISO (1 Monday to 7 Sunday); end_time up to
24:00, at or before start_time means the next day. Both validity dates are inclusive and make
seasons; null is unbounded.';

create table booking.breaks (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  staff_id uuid,
  location_id uuid,
  weekday integer,
  start_time time not null,
  end_time time not null,
  valid_from date,
  valid_until date,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint break_is_of_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint break_is_at_a_location_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint break_weekday_is_1_monday_to_7_sunday check (weekday between 1 and 7),
  constraint break_start_time_is_before_24_00 check (start_time < '24:00'),
  constraint break_is_whole_minutes
    check (booking.is_whole_minute(start_time) and booking.is_whole_minute(end_time)),
  constraint break_valid_until_is_not_before_valid_from check (valid_from <= valid_until)
);

create index breaks_tenant_id_staff_id_idx on booking.breaks (tenant_id, staff_id);

create index breaks_tenant_id_location_id_idx on booking.breaks (tenant_id, location_id);

comment on table booking.breaks is
  'Time taken out of working hours, in local time: staff_id null is everyone, location_id null
everywhere, weekday null every day; end_time at or before start_time means the next day.';

create table booking.schedule_exceptions (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  staff_id uuid,
  location_id uuid,
  first_date date not null,
  last_date date not null,
  kind text not null,
  start_time time,
  end_time time,
  note text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint exception_is_of_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint exception_is_at_a_location_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint exception_kind_is_closed_or_open check (kind in ('closed', 'open')),
  constraint exception_dates_are_between_1900_and_9999
    check (first_date >= '1900-01-01' and last_date < '10000-01-01'),
  constraint last_date_is_not_before_first_date check (first_date <= last_date),
  constraint exception_has_both_times_or_neither
    check ((start_time is null) = (end_time is null)),
  constraint exception_start_time_is_before_24_00 check (start_time < '24:00'),
  constraint exception_is_whole_minutes
    check (booking.is_whole_minute(start_time) and booking.is_whole_minute(end_time))
);

create index schedule_exceptions_tenant_id_staff_id_idx
  on booking.schedule_exceptions (tenant_id, staff_id);

create index schedule_exceptions_tenant_id_location_id_idx
  on booking.schedule_exceptions (tenant_id, location_id);

comment on table booking.schedule_exceptions is
  'Dates that differ, in local time, both inclusive: open rows replace the weekly hours of those
dates, closed rows are taken away. Null times are the whole day, null staff_id everyone, null
location_id everywhere.';

create table booking.busy_times (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  staff_id uuid not null,
  start_time timestamptz not null,
  end_time timestamptz not null,
  source text not null default 'manual',
  external_id text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint busy_time_external_id_is_unique_in_its_source unique (tenant_id, source, external_id),
  constraint busy_time_is_of_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint busy_time_ends_after_it_starts check (end_time > start_time),
  constraint busy_time_is_between_1900_and_9999
    check (start_time >= '1900-01-01 00:00+00' and end_time < '10000-01-01 00:00+00')
);

-- Found by overlap with a day or a claim: a range in an index, without widening the row.
create index busy_times_tenant_id_staff_id_period_idx
  on booking.busy_times using gist (tenant_id, staff_id, tstzrange(start_time, end_time));

create index busy_times_tenant_id_staff_id_idx on booking.busy_times (tenant_id, staff_id);

comment on table booking.busy_times is
  'Time taken by anything outside pgbooking, such as another calendar; half open; rows may overlap
each other. source and external_id make imports repeatable.';

create table booking.travel_times (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  from_location_id uuid not null,
  to_location_id uuid not null,
  minutes integer not null,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint a_direction_has_one_travel_time unique (tenant_id, from_location_id, to_location_id),
  constraint travel_begins_at_a_location_of_the_tenant
    foreign key (tenant_id, from_location_id) references booking.locations (tenant_id, id),
  constraint travel_ends_at_a_location_of_the_tenant
    foreign key (tenant_id, to_location_id) references booking.locations (tenant_id, id),
  constraint travel_goes_somewhere_else check (from_location_id <> to_location_id),
  constraint travel_minutes_is_0_to_1440 check (minutes between 0 and 1440)
);

create index travel_times_tenant_id_to_location_id_idx
  on booking.travel_times (tenant_id, to_location_id);

comment on table booking.travel_times is
  'Minutes from one location to another; the way back takes as long unless it has a row of its
own.';

create table booking.price_rules (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  appointment_type_id uuid,
  staff_id uuid,
  location_id uuid,
  weekdays integer[],
  start_time time,
  end_time time,
  valid_from date,
  valid_until date,
  min_lead_minutes integer,
  max_lead_minutes integer,
  min_load_percent integer,
  max_load_percent integer,
  adjustment_percent numeric(7, 2) not null default 0,
  adjustment_cents integer not null default 0,
  priority integer not null default 0,
  stacks boolean not null default false,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint price_rule_is_for_a_type_of_the_tenant
    foreign key (tenant_id, appointment_type_id)
    references booking.appointment_types (tenant_id, id),
  constraint price_rule_is_for_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint price_rule_is_for_a_location_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint price_rule_weekdays_are_1_to_7 check (weekdays <@ array[1, 2, 3, 4, 5, 6, 7]),
  constraint price_rule_has_both_times_or_neither check ((start_time is null) = (end_time is null)),
  constraint price_rule_valid_until_is_not_before_valid_from check (valid_from <= valid_until),
  constraint price_rule_lead_minutes_are_a_range
    check (
      min_lead_minutes >= 0 and max_lead_minutes >= 0
      and min_lead_minutes <= max_lead_minutes
    ),
  constraint price_rule_load_percents_are_a_range check (
    min_load_percent between 0 and 100 and max_load_percent between 0 and 100
    and min_load_percent <= max_load_percent
  ),
  constraint adjustment_percent_is_at_least_minus_100 check (adjustment_percent >= -100)
);

create index price_rules_tenant_id_appointment_type_id_idx
  on booking.price_rules (tenant_id, appointment_type_id);

create index price_rules_tenant_id_staff_id_idx on booking.price_rules (tenant_id, staff_id);

create index price_rules_tenant_id_location_id_idx on booking.price_rules (tenant_id, location_id);

comment on table booking.price_rules is
  'What changes a price: conditions that are null always hold; start_time and end_time are local;
lead is minutes from booking to start, load the percentage of the day that is taken.';

alter table booking.working_hours enable row level security;
alter table booking.breaks enable row level security;
alter table booking.schedule_exceptions enable row level security;
alter table booking.busy_times enable row level security;
alter table booking.travel_times enable row level security;
alter table booking.price_rules enable row level security;
