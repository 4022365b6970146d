-- The tenants whose analytics the caller may see: those of whom they are admins; the service all.
-- Inlined into the views of analytics, hence without a pinned search_path.
create or replace function booking.analysed_tenants() returns table (tenant_id uuid)
language sql stable parallel safe
as $$
  select t.id
  from booking.tenants t
  where t.id = any ((select booking.member_tenant_ids('admin'))::uuid[])
    or (select booking.caller_claims() ->> 'role') = 'service_role'
$$;

comment on function booking.analysed_tenants() is
  'The tenants whose analytics the caller may see: an admin''s own; the service''s are all.';
