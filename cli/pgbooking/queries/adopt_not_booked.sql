select b.external_id, b.start_time, b.end_time, b.period, b.reason
from booking_adoption.not_booked(%(tenant_id)s, %(staff_id)s) b
