-- P2, published = calculated, by the calculator in SQL.
select
  'SQL' as calculator, d.kind, d.staff_id, d.slot_id, d.location_id, d.shape_id, d.start_time,
  d.published, d.expected
from booking.find_differences(%(tenant_id)s, array[%(staff_id)s]::uuid[]) d
