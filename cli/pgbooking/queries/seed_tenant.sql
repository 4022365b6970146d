with made as (
  insert into booking.tenants (id, name, timezone, slot_alignment, is_active)
  values (%(tenant_id)s, %(name)s, %(timezone)s, %(slot_alignment)s, false)
  returning id
)
insert into booking.tenant_slugs (slug, tenant_id)
select %(slug)s, made.id from made
