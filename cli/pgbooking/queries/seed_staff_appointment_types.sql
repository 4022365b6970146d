copy booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id) from stdin
