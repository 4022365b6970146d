select api.reschedule_appointment(
  tenant_id => %(tenant_id)s,
  appointment_id => %(appointment_id)s,
  slot_id => %(slot_id)s,
  manage_token => %(manage_token)s
)
