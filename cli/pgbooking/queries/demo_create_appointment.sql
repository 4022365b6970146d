select api.create_appointment(
  tenant_id => %(tenant_id)s,
  slot_id => %(slot_id)s,
  session_id => %(session_id)s,
  appointment_type => %(appointment_type)s,
  user_data => '{"name": "Ada Example", "email": "ada@example.org"}'
)
