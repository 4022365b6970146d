select from_location_id, to_location_id, minutes
from booking.travel_times
where tenant_id = %(tenant_id)s
