-- The time that a claim at one place bars for somebody who is at another: the claim itself, and the
-- way there before it and back after it (travel_around). Places may be equal or null; then that is
-- the claim. Reads only, refuses nothing.
create or replace function booking.barred_period(
  p_tenant_id uuid,
  p_claim tstzrange,
  p_location_id uuid,
  p_other_location_id uuid
) returns tstzrange
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_location_id is not distinct from p_other_location_id then
    return p_claim;
  end if;

  return coalesce(
    (
      select tstzrange(
        lower(p_claim) - t.minutes_to * interval '1 minute',
        upper(p_claim) + t.minutes_from * interval '1 minute'
      )
      from booking.travel_around(p_tenant_id) t
      where t.location_id = p_location_id and t.other_location_id = p_other_location_id
    ),
    p_claim
  );
end
$$;

comment on function booking.barred_period(uuid, tstzrange, uuid, uuid) is
  'What a claim at p_location_id leaves no room for at p_other_location_id: the claim, widened by
the travel times to and from it (rule 4; design, section 4).';
