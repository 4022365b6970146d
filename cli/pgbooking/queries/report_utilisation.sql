-- Each person's minutes in each whole week (from its Monday) that the range touches.
select
  u.staff_id,
  coalesce(s.display_name, u.staff_name, u.staff_id::text) as staff,
  u.week, u.working_minutes, u.booked_minutes, u.buffer_minutes, u.travel_minutes
from api.staff_utilisation u
left join booking.staff s on s.tenant_id = u.tenant_id and s.id = u.staff_id
where u.tenant_id = %(tenant_id)s
  and u.week between date_trunc('week', %(first_date)s::timestamp)::date and %(last_date)s
order by staff, u.staff_id, u.week
