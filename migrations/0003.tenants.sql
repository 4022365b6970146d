-- Who works where, and what can be booked with them.
-- depends: 0002.clock_and_names

set local role booking_owner;

create table booking.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  timezone text not null,
  is_active boolean not null default true,
  slot_step_minutes integer not null default 15,
  slot_alignment text not null default 'window',
  booking_horizon_days integer not null default 60,
  precompute_days integer not null default 60,
  hold_minutes integer not null default 10,
  max_holds_per_session integer not null default 3,
  min_notice_minutes integer not null default 0,
  refresh_hour integer not null default 2,
  payment_due_minutes integer not null default 30,
  payment_url_template text,
  cancellation_notice_minutes integer not null default 0,
  max_open_appointments_per_customer integer,
  counts_searches boolean not null default true,
  reminder_minutes integer not null default 1440,
  cache_seconds integer not null default 300,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  constraint tenant_name_is_not_blank check (btrim(name) <> '' and length(name) <= 200),
  constraint slot_step_minutes_is_1_to_1440 check (slot_step_minutes between 1 and 1440),
  constraint slot_alignment_is_window_clock_or_gapless
    check (slot_alignment in ('window', 'clock', 'gapless')),
  constraint booking_horizon_days_is_1_to_730 check (booking_horizon_days between 1 and 730),
  constraint precompute_days_is_0_to_730 check (precompute_days between 0 and 730),
  constraint hold_minutes_is_1_to_1440 check (hold_minutes between 1 and 1440),
  constraint max_holds_per_session_is_1_to_100 check (max_holds_per_session between 1 and 100),
  constraint min_notice_minutes_is_0_to_525600 check (min_notice_minutes between 0 and 525600),
  constraint refresh_hour_is_0_to_23 check (refresh_hour between 0 and 23),
  constraint payment_due_minutes_is_1_to_525600 check (payment_due_minutes between 1 and 525600),
  constraint cancellation_notice_minutes_is_0_to_525600
    check (cancellation_notice_minutes between 0 and 525600),
  constraint max_open_appointments_per_customer_is_positive
    check (max_open_appointments_per_customer > 0),
  constraint reminder_minutes_is_0_to_525600 check (reminder_minutes between 0 and 525600),
  constraint cache_seconds_is_0_to_86400 check (cache_seconds between 0 and 86400)
);

comment on table booking.tenants is
  'One business. timezone is the IANA name in which its days begin; slot_alignment says where starts
lie (design: window, clock, gapless); *_minutes and *_days are whole numbers; bookings are possible
until today + booking_horizon_days, rows exist until today + least(precompute_days, horizon).';

create table booking.tenant_slugs (
  slug text primary key,
  tenant_id uuid not null references booking.tenants (id) on delete cascade,
  constraint slug_is_lower_case_letters_digits_and_dashes
    check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')
);

create index tenant_slugs_tenant_id_idx on booking.tenant_slugs (tenant_id);

comment on table booking.tenant_slugs is
  'Public names of tenants, unique in the installation; a table of its own so that every other key
can begin with tenant_id.';

create table booking.settings (
  is_the_only_row boolean primary key default true,
  trusted_proxies integer not null default 1,
  reads_per_minute integer not null default 100,
  reserves_per_minute integer not null default 10,
  bookings_per_minute integer not null default 10,
  recalculations_per_minute integer not null default 6,
  cache_seconds integer not null default 300,
  audit_retention_days integer not null default 400,
  event_retention_days integer not null default 30,
  job_run_retention_days integer not null default 30,
  verification_retention_days integer not null default 90,
  hash_salt uuid not null default gen_random_uuid(),
  updated_at timestamptz not null default booking.now(),
  constraint settings_have_one_row check (is_the_only_row),
  constraint trusted_proxies_is_0_to_10 check (trusted_proxies between 0 and 10),
  constraint rate_limits_are_positive check (
    least(reads_per_minute, reserves_per_minute, bookings_per_minute, recalculations_per_minute) > 0
  ),
  constraint settings_cache_seconds_is_0_to_86400 check (cache_seconds between 0 and 86400),
  constraint retention_days_are_positive check (
    least(
      audit_retention_days, event_retention_days, job_run_retention_days,
      verification_retention_days
    ) > 0
  )
);

comment on table booking.settings is
  'The installation: trusted proxies in front of PostgREST, rate limits per minute, days that logs
are kept, seconds that edges may keep anonymous answers. hash_salt keeps hashed addresses from being
guessed by trying them all.';

insert into booking.settings default values;

create table booking.locations (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  name text not null,
  timezone text,
  is_active boolean not null default true,
  external_id text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint location_external_id_is_unique unique (tenant_id, external_id),
  constraint location_name_is_not_blank check (btrim(name) <> '' and length(name) <= 200)
);

comment on table booking.locations is
  'A place where people work. timezone null: the tenant''s.';

create table booking.staff (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  display_name text not null,
  user_id uuid,
  is_active boolean not null default true,
  max_appointments_per_day integer,
  compact_schedule boolean not null default false,
  external_id text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint staff_external_id_is_unique unique (tenant_id, external_id),
  constraint display_name_is_not_blank
    check (btrim(display_name) <> '' and length(display_name) <= 200),
  constraint max_appointments_per_day_is_positive check (max_appointments_per_day > 0)
);

comment on table booking.staff is 'A person who can be booked; each has one calendar.';

create table booking.members (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  user_id uuid not null,
  role text not null,
  staff_id uuid,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint a_user_is_a_member_once unique (tenant_id, user_id),
  constraint member_role_is_admin_or_staff check (role in ('admin', 'staff')),
  constraint member_is_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id)
);

create index members_tenant_id_staff_id_idx on booking.members (tenant_id, staff_id);

create index members_user_id_idx on booking.members (user_id);

comment on table booking.members is
  'Who may act for a tenant: rendered into token claims, never read by a policy.';

create table booking.slot_shapes (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  duration_minutes integer not null,
  buffer_before_minutes integer not null,
  buffer_after_minutes integer not null,
  step_minutes integer not null,
  min_notice_minutes integer not null,
  max_advance_days integer,
  group_type_id uuid,
  is_group boolean not null generated always as (group_type_id is not null) stored,
  created_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint a_slot_id_means_one_claim unique (
    tenant_id, id, duration_minutes, buffer_before_minutes, buffer_after_minutes, is_group
  ),
  -- Named like those of appointment_types: a bad type meets them here, in its BEFORE trigger.
  constraint duration_minutes_is_1_to_1440 check (duration_minutes between 1 and 1440),
  constraint buffer_before_minutes_is_0_to_1440 check (buffer_before_minutes between 0 and 1440),
  constraint buffer_after_minutes_is_0_to_1440 check (buffer_after_minutes between 0 and 1440),
  constraint slot_step_minutes_is_1_to_1440 check (step_minutes between 1 and 1440),
  constraint min_notice_minutes_is_0_to_525600 check (min_notice_minutes between 0 and 525600),
  constraint max_advance_days_is_0_to_730 check (max_advance_days between 0 and 730)
);

create unique index slot_shapes_single_idx on booking.slot_shapes (
  tenant_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
  min_notice_minutes, max_advance_days
) nulls not distinct where group_type_id is null;

create unique index slot_shapes_group_idx on booking.slot_shapes (
  tenant_id, group_type_id, duration_minutes, buffer_before_minutes, buffer_after_minutes
) where group_type_id is not null;

comment on table booking.slot_shapes is
  'What a slot looks like, in effective values. Appointment types with equal values share one shape
and so share slots; a group type has its own, or two classes would mix, and its step, notice and
advance change in place. Found or made by trigger, never deleted.';

create table booking.appointment_types (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  code text not null,
  name text not null,
  duration_minutes integer not null,
  buffer_before_minutes integer not null default 0,
  buffer_after_minutes integer not null default 0,
  slot_step_minutes integer,
  capacity integer not null default 1,
  min_notice_minutes integer,
  max_advance_days integer,
  price_cents integer not null default 0,
  currency text not null default 'EUR',
  requires_payment boolean not null default false,
  is_active boolean not null default true,
  external_id text,
  shape_id uuid not null,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint appointment_type_code_is_unique unique (tenant_id, code),
  constraint appointment_type_external_id_is_unique unique (tenant_id, external_id),
  constraint appointment_type_has_a_shape
    foreign key (tenant_id, shape_id) references booking.slot_shapes (tenant_id, id)
    deferrable initially deferred,
  constraint code_is_not_blank check (btrim(code) <> '' and length(code) <= 100),
  constraint appointment_type_name_is_not_blank check (btrim(name) <> '' and length(name) <= 200),
  constraint duration_minutes_is_1_to_1440 check (duration_minutes between 1 and 1440),
  constraint buffer_before_minutes_is_0_to_1440 check (buffer_before_minutes between 0 and 1440),
  constraint buffer_after_minutes_is_0_to_1440 check (buffer_after_minutes between 0 and 1440),
  constraint slot_step_minutes_is_1_to_1440 check (slot_step_minutes between 1 and 1440),
  constraint capacity_is_1_to_10000 check (capacity between 1 and 10000),
  constraint min_notice_minutes_is_0_to_525600 check (min_notice_minutes between 0 and 525600),
  constraint max_advance_days_is_0_to_730 check (max_advance_days between 0 and 730),
  constraint price_cents_is_not_negative check (price_cents >= 0),
  constraint currency_is_an_iso_4217_code check (currency ~ '^[A-Z]{3}$')
);

create index appointment_types_tenant_id_shape_id_idx
  on booking.appointment_types (tenant_id, shape_id);

comment on table booking.appointment_types is
  'A service. price_cents is gross, in hundredths of the currency; null step, notice and advance
take the tenant''s; capacity above 1 makes it a class with seats.';

alter table booking.slot_shapes
  add constraint group_shape_belongs_to_an_appointment_type
  foreign key (tenant_id, group_type_id) references booking.appointment_types (tenant_id, id)
  deferrable initially deferred;

create table booking.staff_appointment_types (
  tenant_id uuid not null references booking.tenants (id),
  staff_id uuid not null,
  appointment_type_id uuid not null,
  created_at timestamptz not null default booking.now(),
  primary key (tenant_id, staff_id, appointment_type_id),
  constraint assigned_person_is_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint assigned_type_is_one_of_the_tenant
    foreign key (tenant_id, appointment_type_id)
    references booking.appointment_types (tenant_id, id)
);

create index staff_appointment_types_tenant_id_appointment_type_id_idx
  on booking.staff_appointment_types (tenant_id, appointment_type_id);

comment on table booking.staff_appointment_types is 'Who offers what.';

alter table booking.tenants enable row level security;
alter table booking.tenant_slugs enable row level security;
alter table booking.settings enable row level security;
alter table booking.locations enable row level security;
alter table booking.staff enable row level security;
alter table booking.members enable row level security;
alter table booking.slot_shapes enable row level security;
alter table booking.appointment_types enable row level security;
alter table booking.staff_appointment_types enable row level security;
