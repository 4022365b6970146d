-- The runs since then (null: all that are kept), newest first. What is open is what nobody has
-- accepted and no repair has put right; findings of the calculators are counted by promise.
select
  r.id, t.name as tenant, r.started_at, r.compared_with, r.is_independent, r.calendars,
  r.calendars_queued, r.slots, r.differences, r.repaired, coalesce(d.open, 0) as open,
  coalesce(d.causes, '{}') as causes
from booking.verification_runs r
join booking.tenants t on t.id = r.tenant_id
left join lateral (
  select sum(c.open)::bigint as open, jsonb_object_agg(c.cause, c.differences) as causes
  from (
    select coalesce(d.cause, d.promise) as cause, count(*) as differences,
      count(*) filter (
        where d.accepted_at is null and not (r.repaired > 0 and d.promise in ('P2', 'P3'))
      ) as open
    from booking.verification_differences d
    where d.tenant_id = r.tenant_id and d.run_id = r.id
    group by coalesce(d.cause, d.promise)
  ) as c
) as d on true
where r.tenant_id = any (%(tenant_ids)s::uuid[])
  and r.started_at >= coalesce(%(since)s::timestamptz, '-infinity')
order by r.started_at desc, t.name, r.id
