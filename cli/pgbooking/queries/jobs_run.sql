-- Commits between its steps: no transaction may be open. Null: it is disabled, or running already.
call booking.run_job(%(name)s)
