select api.cancel_appointment(
  tenant_id => %(tenant_id)s,
  appointment_id => %(appointment_id)s,
  manage_token => %(manage_token)s
)
