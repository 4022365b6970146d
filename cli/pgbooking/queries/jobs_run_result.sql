-- What that run did.
select r.job_name as name, r.rows_affected as rows,
  extract(epoch from r.finished_at - r.started_at)::float8 as seconds
from booking.job_runs r
where r.id = %(run_id)s
