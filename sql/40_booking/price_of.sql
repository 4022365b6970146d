-- What a service costs at one slot at this moment: what a listing would say (booking.slot_prices).
-- Holds quote it, and a quote is kept. Null for no service. Reads only; refuses nothing.
create or replace function booking.price_of(
  p_tenant_id uuid,
  p_type_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_start_time timestamptz
) returns integer
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_type_id is null then
    return null;
  end if;

  -- Most tenants have no rules.
  perform from booking.price_rules r where r.tenant_id = p_tenant_id;
  if not found then
    return (
      select y.price_cents
      from booking.appointment_types y
      where y.tenant_id = p_tenant_id and y.id = p_type_id
    );
  end if;

  return (
    select p.price_cents
    from booking.slot_prices(
      p_tenant_id, p_type_id, array[p_staff_id], array[p_location_id], array[p_start_time]
    ) p
  );
end
$$;

comment on function booking.price_of(uuid, uuid, uuid, uuid, timestamptz) is
  'What a service costs now at a slot: its base price, changed by the price_rules that fit.';
