-- The calendars that follow the old system, in the order in which they are locked.
select c.tenant_id, c.staff_id, s.display_name, c.is_switched
from booking_adoption.calendars c
join booking.staff s on s.tenant_id = c.tenant_id and s.id = c.staff_id
where c.tenant_id = any (%(tenant_ids)s)
order by c.tenant_id, c.staff_id
