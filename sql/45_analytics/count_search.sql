-- Remembers that somebody searched, for the tenant's analytics: one of settings.search_sample
-- searches, which stands for as many, and only where the transaction may write (POST) and the
-- tenant counts searches. Whoever turns a page has searched already. Costs one comparison else;
-- waits for nobody. Nothing is kept of who asked.
create or replace function booking.count_search(p_request jsonb, p_has_result boolean) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
begin
  if current_setting('transaction_read_only') = 'on' or p_request ->> 'page_token' is not null then
    return;
  end if;

  insert into booking.searches (
    tenant_id, staff_id, appointment_type_id, has_result, stands_for
  )
  select t.id, (p_request ->> 'staff_id')::uuid,
    (
      select ty.id
      from booking.appointment_types ty
      where ty.tenant_id = t.id and ty.code = p_request ->> 'appointment_type'
    ),
    p_has_result, s.search_sample
  from booking.settings s
  join booking.tenants t on t.id = v_tenant_id and t.counts_searches
  where random() * s.search_sample < 1;
end
$$;

comment on function booking.count_search(jsonb, boolean) is
  'Records a search, or one of several: settings.search_sample, tenants.counts_searches.';
