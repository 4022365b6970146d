-- The dates whose figures are worked out when they are asked for: those after the last that was
-- rolled up, until today (tenant's zone); the last month where the job has never run. Empty for
-- whoever may not see them: only the tenant's admins and the service may. Every live_* function
-- asks it, and is therefore harmless to whoever may call it.
create or replace function booking.live_days(p_tenant_id uuid) returns daterange
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if not booking.caller_may_write(p_tenant_id, null) then
    return daterange 'empty';
  end if;
  return (
    select daterange(coalesce(r.rolled_until + 1, d.today - 30), d.today, '[]')
    from booking.tenants t
    cross join lateral (select (booking.now() at time zone t.timezone)::date as today) as d
    left join booking.rollups r on r.tenant_id = t.id
    where t.id = p_tenant_id and (r.rolled_until is null or r.rolled_until < d.today)
  );
end
$$;

comment on function booking.live_days(uuid) is
  'The dates (tenant''s zone) that are not rolled up yet, until today; empty for whoever may not see
the tenant''s analytics.';
