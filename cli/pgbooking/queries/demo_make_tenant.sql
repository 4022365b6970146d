-- Inactive until everything is there, so that it is published once.
with made as (
  insert into booking.tenants (
    id, name, timezone, min_notice_minutes, booking_horizon_days, precompute_days, is_active
  )
  values (
    %(tenant_id)s, %(name)s, %(timezone)s, %(min_notice_minutes)s, %(booking_horizon_days)s,
    %(precompute_days)s, false
  )
  returning id
)
insert into booking.tenant_slugs (slug, tenant_id)
select %(slug)s, made.id from made
