select api.explain_availability(
  tenant_id => %(tenant_id)s,
  staff_id => %(staff_id)s,
  at => %(at)s,
  appointment_type => %(appointment_type)s
)
