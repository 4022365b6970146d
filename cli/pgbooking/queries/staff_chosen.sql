-- A person by id, by external id or, where that is nobody's, by name.
with named as (
  select
    s.id, s.display_name, s.external_id,
    case
      when s.id::text = lower(%(staff)s::text) then 1
      when s.external_id = %(staff)s::text then 2
      else 3
    end as way
  from booking.staff s
  where s.tenant_id = %(tenant_id)s
    and (
      s.id::text = lower(%(staff)s::text)
      or s.external_id = %(staff)s::text
      or s.display_name = %(staff)s::text
    )
)
select n.id, n.display_name, n.external_id
from named n
where n.way = (select min(other.way) from named other)
order by n.id
