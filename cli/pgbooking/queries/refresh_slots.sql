select r.inserted, r.updated, r.deleted
from booking.refresh_slots(
  %(tenant_id)s, %(staff_ids)s::uuid[], %(from_date)s::date, %(to_date)s::date
) r
