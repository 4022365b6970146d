-- The number of the next tenant whose slug is this prefix and a number.
select coalesce(max(substring(s.slug from '\d+$')::integer), 0) + 1
from booking.tenant_slugs s
where s.slug ~ ('^' || %(prefix)s::text || '-\d{1,6}$')
