-- A person's busy times that touch the window, told as appointments of no service.
select
  b.id, b.start_time, b.end_time, 'confirmed' as status, 'Busy' as service, null as location,
  b.created_at, b.updated_at, '{}'::jsonb as customer, null as notes
from booking.busy_times b
where b.tenant_id = %(tenant_id)s and b.staff_id = %(staff_id)s
  and b.start_time < %(window_end)s and b.end_time > %(window_start)s
order by b.start_time, b.id
