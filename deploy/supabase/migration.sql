-- pgbooking's migration {id} and its record.
-- Written by `pgbooking sql --supabase`; not to be edited.

-- The role to come back to: `reset role` would go to the one that logged in, and Supabase's command
-- line can have taken another one since.
select set_config('booking_migrations.role', current_user, true);

{text}

select set_config('role', current_setting('booking_migrations.role'), true);

insert into booking_migrations._yoyo_migration (migration_id, migration_hash, applied_at_utc)
values (
  '{id}',
  '{hash}',
  clock_timestamp() at time zone 'UTC'
);

insert into booking_migrations._yoyo_log (
  id, operation, username, hostname, created_at_utc, migration_id, migration_hash, comment
)
values (
  gen_random_uuid(), 'apply', current_user, 'supabase', clock_timestamp() at time zone 'UTC',
  '{id}',
  '{hash}',
  'sha256 {sha256}'
);

{post_apply}
