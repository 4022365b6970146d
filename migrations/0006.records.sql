-- What is kept on record: attempts, events to send, jobs, verifications, rate limits.
-- depends: 0005.appointments_and_slots

set local role booking_owner;

create table booking.audit_log (
  tenant_id uuid not null,
  id uuid not null default gen_random_uuid(),
  occurred_at timestamptz not null default booking.now(),
  action text not null,
  outcome text not null,
  code text,
  actor_id uuid,
  actor_role text,
  session_hash bytea,
  address_hash bytea,
  slot_id uuid,
  appointment_id uuid,
  staff_id uuid,
  details jsonb not null default '{}',
  primary key (tenant_id, id),
  constraint audit_outcome_is_success_or_refused check (outcome in ('success', 'refused')),
  constraint audit_details_are_a_json_object check (jsonb_typeof(details) = 'object')
);

create index audit_log_tenant_id_occurred_at_idx on booking.audit_log (tenant_id, occurred_at);

comment on table booking.audit_log is
  'Every attempt to reserve, release, book, move, cancel, record a payment, set hours or
recalculate, refused or not, but for calls that are too many. Append-only; no foreign keys and
no customer data; attempts whose tenant is unknown stand under the nil UUID.';

create table booking.events (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  kind text not null,
  appointment_id uuid not null,
  payload jsonb not null default '{}',
  created_at timestamptz not null default booking.now(),
  processed_at timestamptz,
  primary key (tenant_id, id),
  constraint event_is_of_an_appointment_of_the_tenant
    foreign key (tenant_id, appointment_id) references booking.appointments (tenant_id, id)
    on delete cascade,
  constraint event_kind_is_known
    check (kind in ('booked', 'moved', 'cancelled', 'payment', 'reminder_due')),
  constraint event_payload_is_a_json_object check (jsonb_typeof(payload) = 'object')
);

create index events_tenant_id_appointment_id_idx on booking.events (tenant_id, appointment_id);

-- One reminder a start: a moved appointment is reminded of again.
create unique index events_tenant_id_appointment_id_start_time_idx
  on booking.events (tenant_id, appointment_id, (payload ->> 'start_time'))
  where (kind = 'reminder_due');

create index events_created_at_idx on booking.events (created_at) where (processed_at is null);

comment on table booking.events is
  'Outbox for whatever sends mails or calls webhooks: written in the booking transaction, drained
with select … for update skip locked.';

create table booking.jobs (
  name text primary key,
  schedule text not null,
  command text not null,
  is_enabled boolean not null default true,
  constraint job_name_is_lower_case_words check (name ~ '^[a-z][a-z0-9_]{0,62}$')
);

comment on table booking.jobs is
  'The one list of jobs: schedule is a cron expression in UTC, command the SQL to run.';

create table booking.job_runs (
  id bigint generated always as identity primary key,
  job_name text not null references booking.jobs (name) on delete cascade,
  started_at timestamptz not null default booking.now(),
  finished_at timestamptz,
  rows_affected bigint,
  error text,
  constraint run_finishes_after_it_starts check (finished_at >= started_at)
);

create index job_runs_job_name_started_at_idx on booking.job_runs (job_name, started_at);

comment on table booking.job_runs is 'One row a run: how long, how many rows, which error.';

create table booking.verification_runs (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  started_at timestamptz not null default booking.now(),
  finished_at timestamptz,
  is_independent boolean not null default false,
  calendars integer not null default 0,
  calendars_queued integer not null default 0,
  slots bigint not null default 0,
  differences bigint not null default 0,
  repaired bigint not null default 0,
  primary key (tenant_id, id)
);

create index verification_runs_tenant_id_started_at_idx
  on booking.verification_runs (tenant_id, started_at);

comment on table booking.verification_runs is
  'Each comparison of what is published with what the calculators say: sizes and findings.';

create table booking.verification_differences (
  tenant_id uuid not null references booking.tenants (id),
  id uuid not null default gen_random_uuid(),
  run_id uuid not null,
  promise text not null,
  kind text not null,
  staff_id uuid,
  slot_id uuid,
  start_time timestamptz,
  published jsonb,
  expected jsonb,
  reason text not null,
  cause text,
  accepted_at timestamptz,
  primary key (tenant_id, id),
  constraint difference_is_of_a_run_of_the_tenant
    foreign key (tenant_id, run_id) references booking.verification_runs (tenant_id, id)
    on delete cascade,
  constraint difference_kind_is_missing_extra_or_wrong check (kind in ('missing', 'extra', 'wrong'))
);

create index verification_differences_tenant_id_run_id_idx
  on booking.verification_differences (tenant_id, run_id);

comment on table booking.verification_differences is
  'What a verification found: a slot missing, extra or wrong, as published and as expected, and
why.';

create unlogged table booking.rate_limits (
  bucket text not null,
  key text not null,
  tat timestamptz not null,
  refused bigint not null default 0,
  primary key (bucket, key)
);

comment on table booking.rate_limits is
  'Theoretical arrival times of the rate limiter (GCRA), one row a client and bucket; keys are
hashes; refused counts the calls that were too many. Unlogged: empty after a crash, and never read
by a reading transaction.';

alter table booking.audit_log enable row level security;
alter table booking.events enable row level security;
alter table booking.jobs enable row level security;
alter table booking.job_runs enable row level security;
alter table booking.verification_runs enable row level security;
alter table booking.verification_differences enable row level security;
alter table booking.rate_limits enable row level security;
