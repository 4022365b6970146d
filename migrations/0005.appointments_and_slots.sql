-- What is booked, what is held, and what can be booked. The constraints here keep promise P1:
-- whoever writes, no two live appointments of one person overlap.
-- depends: 0004.hours

set local role booking_owner;

create table booking.appointments (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  staff_id uuid not null,
  location_id uuid not null,
  appointment_type_id uuid not null,
  shape_id uuid,
  slot_id uuid,
  seat integer not null default 1,
  capacity integer not null default 1,
  start_time timestamptz not null,
  end_time timestamptz not null,
  buffer_before_minutes integer not null default 0,
  buffer_after_minutes integer not null default 0,
  claim tstzrange not null generated always as (
    booking.claim_of(start_time, end_time, buffer_before_minutes, buffer_after_minutes)
  ) stored,
  duration_minutes integer not null
    generated always as (booking.whole_minutes(start_time, end_time)) stored,
  is_group boolean not null generated always as (capacity > 1) stored,
  status text not null default 'confirmed',
  customer_id uuid,
  customer jsonb not null default '{}',
  notes text,
  price_cents integer not null default 0,
  currency text not null default 'EUR',
  payment_status text not null default 'not_required',
  payment_due_at timestamptz,
  payment_reference text,
  idempotency_key text,
  request_hash bytea,
  manage_token_hash bytea,
  cancelled_at timestamptz,
  cancelled_by uuid,
  cancel_reason text,
  source text not null default 'direct',
  external_id text,
  created_at timestamptz not null default booking.now(),
  updated_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint appointment_external_id_is_unique_in_its_source
    unique (tenant_id, source, external_id),
  constraint appointment_is_with_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint appointment_is_at_a_location_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint appointment_is_of_a_type_of_the_tenant
    foreign key (tenant_id, appointment_type_id)
    references booking.appointment_types (tenant_id, id),
  -- Exact because its last four columns are generated or copied: equal slot ids are equal claims.
  constraint appointment_has_the_measures_of_its_shape
    foreign key (
      tenant_id, shape_id, duration_minutes, buffer_before_minutes, buffer_after_minutes, is_group
    ) references booking.slot_shapes (
      tenant_id, id, duration_minutes, buffer_before_minutes, buffer_after_minutes, is_group
    ),
  constraint end_time_is_after_start_time check (end_time > start_time),
  constraint appointment_is_between_1900_and_9999
    check (start_time >= '1900-01-01 00:00+00' and end_time < '10000-01-01 00:00+00'),
  constraint appointment_buffers_are_0_to_1440
    check (buffer_before_minutes between 0 and 1440 and buffer_after_minutes between 0 and 1440),
  constraint slot_and_shape_come_together check ((slot_id is null) = (shape_id is null)),
  constraint slot_id_names_this_slot
    check (slot_id = booking.slot_id(tenant_id, staff_id, location_id, start_time, shape_id)),
  constraint appointment_id_is_not_a_slot_id check (not booking.is_slot_id(id)),
  constraint seat_is_between_1_and_capacity check (seat between 1 and capacity),
  constraint only_slots_have_several_seats check (capacity = 1 or slot_id is not null),
  constraint status_is_known
    check (status in ('pending', 'confirmed', 'completed', 'cancelled', 'no_show')),
  constraint payment_status_is_known
    check (payment_status in ('not_required', 'pending', 'paid', 'refunded', 'failed')),
  constraint customer_is_a_json_object check (jsonb_typeof(customer) = 'object'),
  constraint appointment_price_cents_is_not_negative check (price_cents >= 0),
  constraint appointment_currency_is_an_iso_4217_code check (currency ~ '^[A-Z]{3}$'),
  constraint one_person_is_in_one_place_at_a_time exclude using gist (
    tenant_id with =,
    staff_id with =,
    claim with &&,
    coalesce(slot_id, id) with <>
  ) where (status <> 'cancelled')
);

-- One seat, one guest. Also counts a class's attendees.
create unique index appointments_tenant_id_slot_id_seat_idx
  on booking.appointments (tenant_id, slot_id, seat) where (status <> 'cancelled');

create unique index appointments_tenant_id_customer_id_idempotency_key_idx
  on booking.appointments (tenant_id, customer_id, idempotency_key) nulls not distinct
  where (idempotency_key is not null);

-- Ids and keys come without a tenant from clients that know none.
create index appointments_id_idx on booking.appointments using hash (id);

create index appointments_idempotency_key_idx
  on booking.appointments (idempotency_key) where (idempotency_key is not null);

create index appointments_tenant_id_staff_id_start_time_idx
  on booking.appointments (tenant_id, staff_id, start_time);

create index appointments_customer_id_idx
  on booking.appointments (customer_id) where (customer_id is not null);

create index appointments_tenant_id_location_id_idx
  on booking.appointments (tenant_id, location_id);

create index appointments_tenant_id_appointment_type_id_idx
  on booking.appointments (tenant_id, appointment_type_id);

create index appointments_tenant_id_shape_id_idx on booking.appointments (tenant_id, shape_id);

-- What lies ahead: reminders.
create index appointments_tenant_id_start_time_idx
  on booking.appointments (tenant_id, start_time) where (status in ('pending', 'confirmed'));

create index appointments_payment_due_at_idx
  on booking.appointments (payment_due_at) where (status = 'pending');

comment on table booking.appointments is
  'Live unless cancelled. claim is [start - buffer before, end + buffer after). An appointment
taken from a slot names it (slot_id, shape_id, seat); one written by hand has no slot and may have
any time and length. Moving it by hand clears slot and shape.';

create table booking.availability_slots (
  tenant_id uuid not null,
  id uuid not null generated always as (
    booking.slot_id(tenant_id, staff_id, location_id, start_time, shape_id)
  ) stored,
  staff_id uuid not null,
  location_id uuid not null,
  shape_id uuid not null,
  start_time timestamptz not null,
  end_time timestamptz not null,
  bookable_from timestamptz,
  bookable_until timestamptz not null,
  reserved_until timestamptz,
  calculated_at timestamptz not null,
  appointment_id uuid,
  duration_minutes integer not null,
  capacity integer not null,
  seats_left integer not null,
  is_available boolean not null,
  claim tstzrange not null,
  reserved_by_session bytea,
  primary key (tenant_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

-- A slot is reserved by its id alone.
create index availability_slots_id_idx on booking.availability_slots using hash (id);

-- A person's days, for readers and for the refresh.
create index availability_slots_tenant_id_staff_id_start_time_idx
  on booking.availability_slots (tenant_id, staff_id, start_time);

-- What readers list of everybody: a full calendar costs no more than an empty one. Equal starts are
-- many, so it is small.
create index availability_slots_tenant_id_start_time_idx
  on booking.availability_slots (tenant_id, start_time) where (is_available);

comment on table booking.availability_slots is
  'The published slots: what the calculator says of the tables, kept so by triggers (promise P2).
Written by refresh_slots alone, hence without foreign keys, which would be asked 400,000 times a
night what verify can tell. reserved_* and seats_left follow slot_reservations, which alone decides
who holds what.';

create table booking.slot_reservations (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  slot_id uuid not null,
  staff_id uuid not null,
  location_id uuid not null,
  shape_id uuid not null,
  start_time timestamptz not null,
  claim tstzrange not null,
  seat integer not null default 1,
  session_hash bytea not null,
  customer_id uuid,
  appointment_type_id uuid,
  quoted_price_cents integer,
  currency text,
  capacity integer not null default 1,
  expires_at timestamptz not null,
  created_at timestamptz not null default booking.now(),
  primary key (tenant_id, id),
  constraint held_person_is_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id),
  constraint held_location_is_one_of_the_tenant
    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),
  constraint held_shape_is_one_of_the_tenant
    foreign key (tenant_id, shape_id) references booking.slot_shapes (tenant_id, id),
  constraint held_type_is_one_of_the_tenant
    foreign key (tenant_id, appointment_type_id)
    references booking.appointment_types (tenant_id, id),
  constraint held_slot_id_names_this_slot
    check (slot_id = booking.slot_id(tenant_id, staff_id, location_id, start_time, shape_id)),
  constraint hold_times_are_finite check (isfinite(start_time) and isfinite(expires_at)),
  constraint held_claim_is_not_empty check (not isempty(claim)),
  constraint held_seat_is_between_1_and_capacity check (seat between 1 and capacity),
  constraint session_hash_is_a_sha_256 check (octet_length(session_hash) = 32),
  constraint quoted_price_has_a_currency
    check (quoted_price_cents >= 0 and (quoted_price_cents is null) = (currency is null)),
  constraint one_seat_has_one_hold unique (tenant_id, slot_id, seat),
  constraint one_session_holds_a_slot_once unique (tenant_id, slot_id, session_hash),
  constraint one_person_is_held_once_at_a_time exclude using gist (
    tenant_id with =,
    staff_id with =,
    claim with &&,
    slot_id with <>
  )
);

create index slot_reservations_tenant_id_staff_id_idx
  on booking.slot_reservations (tenant_id, staff_id);

create index slot_reservations_tenant_id_location_id_idx
  on booking.slot_reservations (tenant_id, location_id);

create index slot_reservations_tenant_id_shape_id_idx
  on booking.slot_reservations (tenant_id, shape_id);

create index slot_reservations_tenant_id_appointment_type_id_idx
  on booking.slot_reservations (tenant_id, appointment_type_id);

create index slot_reservations_session_hash_idx on booking.slot_reservations (session_hash);

create index slot_reservations_customer_id_idx
  on booking.slot_reservations (customer_id) where (customer_id is not null);

create index slot_reservations_expires_at_idx on booking.slot_reservations (expires_at);

comment on table booking.slot_reservations is
  'Holds. One lives while expires_at lies ahead, whatever the cleanup does; writers first delete
the calendar''s expired ones under its lock. Sessions are kept as SHA-256 only. appointment_type_id
null: several services fit the slot, and none was named.';

create table booking.calendars (
  tenant_id uuid not null references booking.tenants (id),
  staff_id uuid not null,
  revision bigint not null default 0,
  materialized_until date not null,
  primary key (tenant_id, staff_id),
  constraint calendar_is_of_staff_of_the_tenant
    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id) on delete cascade
) with (fillfactor = 50);

comment on table booking.calendars is
  'One person''s calendar: the row is the lock that each writer takes, revision its version, which
live clients may watch, materialized_until the last local date that has rows in
availability_slots.';

create table booking.refresh_queue (
  tenant_id uuid not null references booking.tenants (id),
  staff_id uuid not null,
  reason text not null,
  queued_at timestamptz not null default booking.now(),
  attempts integer not null default 0,
  last_error text,
  primary key (tenant_id, staff_id),
  constraint queued_calendar_exists
    foreign key (tenant_id, staff_id) references booking.calendars (tenant_id, staff_id)
    on delete cascade
);

create index refresh_queue_queued_at_idx on booking.refresh_queue (queued_at);

comment on table booking.refresh_queue is
  'Calendars that a wide change has made stale and that wait for their turn: the one visible
exception to promise P2. A failing calendar keeps its error and is tried again.';

alter table booking.appointments enable row level security;
alter table booking.availability_slots enable row level security;
alter table booking.slot_reservations enable row level security;
alter table booking.calendars enable row level security;
alter table booking.refresh_queue enable row level security;
