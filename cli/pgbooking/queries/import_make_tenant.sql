with made as (
  insert into booking.tenants (name, timezone, slot_step_minutes, slot_alignment)
  values (
    %(name)s, %(time_zone)s, coalesce(%(slot_step_minutes)s, 15),
    coalesce(%(slot_alignment)s, 'window')
  )
  returning id
)
insert into booking.tenant_slugs (slug, tenant_id)
select %(slug)s, made.id from made
