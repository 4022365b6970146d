-- pgbooking's own bookkeeping: the tables that yoyo makes. Each migration that follows puts itself
-- on record here, so that `pgbooking status` and `pgbooking migrate` know what this database has.

create schema if not exists booking_migrations;

create table if not exists booking_migrations._yoyo_migration (
  migration_hash varchar(64) primary key,
  migration_id varchar(255),
  applied_at_utc timestamp
);

create table if not exists booking_migrations._yoyo_log (
  id varchar(36) primary key,
  migration_hash varchar(64),
  migration_id varchar(255),
  operation varchar(10),
  username varchar(255),
  hostname varchar(255),
  comment varchar(255),
  created_at_utc timestamp
);

create table if not exists booking_migrations._yoyo_version (
  version integer primary key,
  installed_at_utc timestamp
);

create table if not exists booking_migrations.yoyo_lock (
  locked integer primary key default 1,
  ctime timestamp,
  pid integer not null
);

insert into booking_migrations._yoyo_version (version, installed_at_utc)
values (2, clock_timestamp() at time zone 'UTC')
on conflict (version) do nothing;
