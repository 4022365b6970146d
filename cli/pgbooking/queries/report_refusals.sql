-- Holds that were refused, by code.
select r.code, sum(r.refusals)::bigint as refusals
from api.hold_refusals r
where r.tenant_id = %(tenant_id)s and r.date between %(first_date)s and %(last_date)s
group by r.code
having sum(r.refusals) > 0
order by refusals desc, r.code
