select r.inserted, r.updated, r.deleted
from booking.refresh_horizon(%(tenant_id)s, %(staff_ids)s::uuid[]) r
