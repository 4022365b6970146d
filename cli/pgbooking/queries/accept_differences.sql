-- And those on record are, too.
update booking.verification_differences d
set accepted_at = booking.now()
where d.tenant_id = %(tenant_id)s and d.cause = %(cause)s and d.accepted_at is null
