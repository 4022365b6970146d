-- Logs that are kept for longer than booking.settings says. Each question is one that an index
-- answers.
select 'retention' as "check", 'warning' as level,
  format('%%s has rows more than a week older than the %%s days for which they are kept.',
    o.name, o.days) as message,
  'pgbooking jobs run delete_old_records' as advice
from booking.settings s
cross join lateral (
  select 'audit_log' as name, s.audit_retention_days as days
  where exists (
    select from booking.audit_log a
    where a.occurred_at < booking.now() - make_interval(days => s.audit_retention_days + 7)
  )
  union all
  select 'job_runs', s.job_run_retention_days
  from booking.jobs j
  cross join lateral (
    select min(r.started_at) as oldest from booking.job_runs r where r.job_name = j.name
  ) r
  having min(r.oldest) < booking.now() - make_interval(days => s.job_run_retention_days + 7)
  union all
  select 'verification_runs', s.verification_retention_days
  from booking.tenants t
  cross join lateral (
    select min(v.started_at) as oldest from booking.verification_runs v where v.tenant_id = t.id
  ) v
  having min(v.oldest) < booking.now() - make_interval(days => s.verification_retention_days + 7)
) o
