-- The hold columns of people's slots around these holds: what changes where nothing but holds has.
-- Holds never move a grid (rule 2), so the slots are taken as they are stored, and only those are
-- looked at that the claim of such a hold bars: it overlaps them, or leaves no time to travel
-- (rule 4). It writes what expected_slots says of them. Not for people with a day limit, whose
-- holds concern whole days (rule 5), nor for holds whose slot is on the grid no more:
-- refresh_around does those.
--
-- Claims that touch are one stretch, so that no slot is written for each of many holds. Runs under
-- the calendars' locks, which every writer of a hold has; refuses nothing.
create or replace function booking.refresh_holds(
  p_tenant_id uuid,
  p_staff_ids uuid[],
  p_location_ids uuid[],
  p_claims tstzrange[]
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
-- Looks at indexes, whatever was in the tables when the plans were made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_now timestamptz := booking.now();
  v_way interval := booking.longest_travel(p_tenant_id);
  v_reach interval;
  v_staff_id uuid;
  v_location_id uuid;
  v_claim tstzrange;
  v_holds booking.slot_reservations[];
begin
  -- How far from a claim a slot may begin that it bars.
  select v_way + interval '1 minute' * max(
    sh.buffer_before_minutes + sh.duration_minutes + sh.buffer_after_minutes
  )
  into v_reach
  from booking.slot_shapes sh
  where sh.tenant_id = p_tenant_id;

  for v_staff_id, v_location_id, v_claim in
    select c.staff_id, c.location_id, unnest(range_agg(c.claim))
    from unnest(p_staff_ids, p_location_ids, p_claims) as c(staff_id, location_id, claim)
    group by c.staff_id, c.location_id
  loop
    v_holds := array(
      select h
      from booking.slot_reservations h
      where h.tenant_id = p_tenant_id and h.staff_id = v_staff_id
        and h.claim && booking.widened(v_claim, v_reach + v_way)
    );

    update booking.availability_slots s
    set (seats_left, reserved_until, reserved_by_session) = (
        select greatest(s.capacity - o.booked - o.seats, 0),
          -- Free again once the holds of other slots are gone and, where attendees and holds fill
          -- it, as many of its own as leave one seat.
          greatest(o.others_expire_at, case
            when o.booked + o.seats >= s.capacity
            then o.own_expiries[least(o.seats, o.seats + o.booked - s.capacity + 1)]
          end),
          o.session_hash
        from (
          select
            -- What is free with one seat has nobody in it.
            case when s.is_available and s.capacity = 1 then 0 else (
              select count(*)::integer
              from booking.appointments a
              where a.tenant_id = s.tenant_id and a.slot_id = s.id and a.status <> 'cancelled'
            ) end as booked,
            count(*) filter (where h.slot_id = s.id)::integer as seats,
            array_agg(h.expires_at order by h.expires_at) filter (where h.slot_id = s.id)
              as own_expiries,
            max(h.expires_at) filter (where h.slot_id <> s.id) as others_expire_at,
            case when count(distinct h.session_hash) = 1 then (array_agg(h.session_hash))[1] end
              as session_hash
          from unnest(v_holds) as h
          where s.claim && case
            when v_way = interval '0' then h.claim
            else booking.barred_period(p_tenant_id, h.claim, h.location_id, s.location_id)
          end
        ) as o
      ),
      calculated_at = v_now
    where s.tenant_id = p_tenant_id and s.staff_id = v_staff_id
      and s.start_time > lower(v_claim) - v_reach and s.start_time < upper(v_claim) + v_reach
      and s.claim && case
        when v_way = interval '0' then v_claim
        else booking.barred_period(p_tenant_id, v_claim, v_location_id, s.location_id)
      end;
  end loop;
end
$$;

comment on function booking.refresh_holds(uuid, uuid[], uuid[], tstzrange[]) is
  'Writes the hold columns of the published slots of p_staff_ids[i] that a hold at p_location_ids[i]
with p_claims[i] bars; a person may occur several times.';
