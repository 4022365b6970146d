-- Everything is copied: what could not be told by its key is in it, too.
with told as (
  delete from booking_adoption.queue q where q.external_id is null and q.row_id is null
)
update booking_adoption.tenants t
set copied_at = booking.now()
where t.tenant_id = any (%(tenant_ids)s)
