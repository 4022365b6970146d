-- Travel between places: for each pair that has a row in travel_times, in either direction, how
-- long it takes from the one to the other and back. A direction without a row of its own takes as
-- long as the other; pairs without a row are not told, and take no time. Seen from a slot at
-- other_location_id, an appointment at location_id bars minutes_to before its claim and
-- minutes_from after it (rule 4). Reads only, refuses nothing.
create or replace function booking.travel_around(p_tenant_id uuid) returns table (
  location_id uuid,
  other_location_id uuid,
  minutes_from integer,
  minutes_to integer
)
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  -- Most tenants have one place, or places without a way between them.
  perform from booking.travel_times t where t.tenant_id = p_tenant_id;
  if not found then
    return;
  end if;

  return query
  select p.here, p.there,
    coalesce(own.minutes, back.minutes), coalesce(back.minutes, own.minutes)
  from (
    select t.from_location_id as here, t.to_location_id as there
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
    union
    select t.to_location_id, t.from_location_id
    from booking.travel_times t
    where t.tenant_id = p_tenant_id
  ) as p
  left join booking.travel_times own
    on own.tenant_id = p_tenant_id
    and own.from_location_id = p.here and own.to_location_id = p.there
  left join booking.travel_times back
    on back.tenant_id = p_tenant_id
    and back.from_location_id = p.there and back.to_location_id = p.here;
end
$$;

comment on function booking.travel_around(uuid) is
  'Minutes from location_id to other_location_id and back, for each pair of a tenant''s places that
has a travel time.';
