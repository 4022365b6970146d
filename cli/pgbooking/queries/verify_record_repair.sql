update booking.verification_runs r
set repaired = %(repaired)s
where r.tenant_id = %(tenant_id)s and r.id = %(run_id)s
