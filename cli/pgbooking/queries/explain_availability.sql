select booking.explain_availability(jsonb_build_object(
  'tenant_id', %(tenant_id)s::uuid,
  'staff_id', %(staff_id)s::uuid,
  'at', %(at)s::timestamptz,
  'appointment_type', %(appointment_type)s::text
))
