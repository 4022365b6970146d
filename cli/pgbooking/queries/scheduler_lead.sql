-- One scheduler leads; the lock is the session's and goes with it.
select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('booking.jobs'), 0)
