select api.get_available_slots(
  tenant_id => %(tenant_id)s,
  start_date => %(start_date)s,
  end_date => %(end_date)s,
  location_id => %(location_id)s,
  appointment_type => %(appointment_type)s,
  page_token => %(page_token)s
)
