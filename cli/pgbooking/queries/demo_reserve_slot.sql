select api.reserve_slot(
  tenant_id => %(tenant_id)s,
  slot_id => %(slot_id)s,
  session_id => %(session_id)s,
  appointment_type => %(appointment_type)s
)
