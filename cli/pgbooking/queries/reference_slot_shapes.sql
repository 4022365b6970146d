select
  id, duration_minutes, buffer_before_minutes, buffer_after_minutes, step_minutes,
  min_notice_minutes, max_advance_days, group_type_id
from booking.slot_shapes
where tenant_id = %(tenant_id)s
