-- How far around a claim travel can matter. Reads only, refuses nothing.
create or replace function booking.longest_travel(p_tenant_id uuid) returns interval
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return (
    select coalesce(max(t.minutes), 0) * interval '1 minute'
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
  );
end
$$;

comment on function booking.longest_travel(uuid) is
  'The longest travel time between two places of a tenant; 0 where there is none.';
