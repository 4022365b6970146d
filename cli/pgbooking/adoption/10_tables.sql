-- The schema "booking_adoption": what follows an old system's tables while pgbooking takes over
-- from it. Made by `pgbooking adopt --apply`, dropped whole by `pgbooking adopt --finish`. The
-- functions that know the old tables are written from the map; what stands in these files is the
-- same for everyone.
--
-- How it follows. A trigger on each old table tells which rows were written (follow), in the old
-- system's own transaction. There each row is read anew (find_row), in the map's terms, and
-- pgbooking is made to agree (follow_row), so that what is published is exact at its commit. That
-- transaction must never fail or wait because of us:
--
--   * every error is caught, and the row goes to the queue with it;
--   * every lock that another session may hold for long is taken without waiting, so no deadlock
--     can have the old system as its victim: a row that would wait goes to the queue;
--   * a statement that writes many rows or a row that concerns many calendars, and a transaction
--     that is not READ COMMITTED, are queued at once.
--
-- The queue is worked off by a job and by `pgbooking adopt`, each row as it is then. It only ever
-- gets new rows, so that writing to it waits for nobody.
--
-- Who leads. Until a calendar is switched, the old system does, and its appointments are busy times
-- here. Afterwards pgbooking does: they are appointments, as far as they can be, and triggers on
-- pgbooking's tables write what happens back into the old ones (write_changed), under the same
-- rules, and at the very end of the transaction: who holds an old row waits for no calendar. What
-- still comes from the old side is followed as before. A row of pgbooking's own that the old table
-- has, too, stands in links. booking_adoption.is_writing says what this session writes ('here', or
-- 'there' and the section), and keeps a change from coming back.
--
-- No foreign keys lead into "booking", so that nothing here holds up its migrations.

create schema booking_adoption;

comment on schema booking_adoption is
  'pgbooking: follows the tables of the system that it takes over from, until `pgbooking adopt
--finish` drops it.';

create table booking_adoption.map (
  is_the_only_row boolean primary key default true check (is_the_only_row),
  content jsonb not null
);

comment on table booking_adoption.map is
  'What the functions here were written from: which sections there are, and their zones.';

create table booking_adoption.tenants (
  tenant_id uuid primary key,
  external_id text not null unique,
  is_switched boolean not null default false,
  copied_at timestamptz
);

comment on table booking_adoption.tenants is
  'Tenants by their key in the old system ('''' where that knows but one). is_switched: calendars of
people who are new begin so.';

create table booking_adoption.calendars (
  tenant_id uuid not null,
  staff_id uuid not null,
  is_switched boolean not null default false,
  is_written boolean not null default false,
  copied_at timestamptz,
  primary key (tenant_id, staff_id)
);

comment on table booking_adoption.calendars is
  'Who leads each calendar: the old system, or (is_switched) pgbooking. is_written: what is booked
here is written into the old tables, since the first switch and after --back, too, because somebody
may still come here. Both change only under the calendar''s lock.';

create table booking_adoption.links (
  tenant_id uuid not null,
  section text not null,
  external_id text not null,
  row_id uuid not null,
  primary key (tenant_id, section, external_id),
  unique (tenant_id, section, row_id)
);

comment on table booking_adoption.links is
  'Rows of pgbooking''s own that an old table has, too: appointments, and hours and busy times that
were made here.';

-- vacuum would lock it to give its empty end back, and who writes to it does not wait.
create table booking_adoption.queue (
  id bigint generated always as identity primary key,
  section text not null,
  tenant text,
  external_id text,
  row_id uuid,
  is_deleted boolean not null default false,
  queued_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  retry_at timestamptz not null default '-infinity',
  sqlstate text,
  last_error text
) with (vacuum_truncate = off);

comment on table booking_adoption.queue is
  'Rows that are not in step: of the old system (external_id), or of pgbooking (row_id) that the old
tables should have. Those that fail keep their error, and are tried again after 2, 4, … 64
minutes.';

create index queue_retry_at_id_idx on booking_adoption.queue (retry_at, id);

create index queue_section_external_id_idx
  on booking_adoption.queue (section, external_id);

create index queue_row_id_idx
  on booking_adoption.queue (row_id) where row_id is not null;

-- An appointment or a busy time of the old system, resolved.
create type booking_adoption.followed_time as (
  external_id text,
  staff_id uuid,
  location_id uuid,
  appointment_type_id uuid,
  start_time timestamptz,
  end_time timestamptz,
  buffer_before_minutes integer,
  buffer_after_minutes integer,
  status text,
  problem text,
  appointment_problem text,
  content jsonb
);

revoke all on all tables in schema booking_adoption from public;
grant usage on schema booking_adoption to booking_owner;
grant all on all tables in schema booking_adoption to booking_owner;
