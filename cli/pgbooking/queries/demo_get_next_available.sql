select api.get_next_available(
  tenant_id => %(tenant_id)s,
  appointment_type => %(appointment_type)s,
  max_results => 1
)
