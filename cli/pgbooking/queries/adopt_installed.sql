-- Whether an adoption is under way, and who may go on with it: the role that began it.
select
  to_regclass('booking_adoption.map') is not null as is_installed,
  coalesce(
    (
      select pg_has_role(current_user, n.nspowner, 'usage')
      from pg_catalog.pg_namespace n where n.nspname = 'booking_adoption'
    ),
    true
  ) as is_ours,
  to_regprocedure('booking.run_job(text, bigint)') is not null as has_pgbooking
