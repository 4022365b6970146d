update booking.appointments
set status = 'cancelled', cancelled_at = booking.now()
where tenant_id = %(tenant_id)s and id = %(appointment_id)s
