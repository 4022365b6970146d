-- Until when holds of other slots fill a local day that [p_start_time, p_end_time) touches, so that
-- the person's day limit leaves no room for this one (rule 5); null where they do not. Holds of one
-- slot count once, until the last of them expires, and not beside its attendees, who are one as
-- well. What live appointments alone fill is not told: that is the calculator's business. Reads
-- only.
create or replace function booking.day_is_full_until(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_location_id uuid,
  p_slot_id uuid,
  p_start_time timestamptz,
  p_end_time timestamptz,
  p_without_appointment_id uuid default null
) returns timestamptz
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
  v_now timestamptz := booking.now();
begin
  -- Few people have a limit.
  perform
  from booking.staff s
  where s.tenant_id = p_tenant_id and s.id = p_staff_id and s.max_appointments_per_day > 0;
  if not found then
    return null;
  end if;

  return (
    with place as (
      select coalesce(l.timezone, t.timezone) as zone, s.max_appointments_per_day
      from booking.staff s
      join booking.tenants t on t.id = s.tenant_id
      join booking.locations l on l.tenant_id = s.tenant_id and l.id = p_location_id
      where s.tenant_id = p_tenant_id and s.id = p_staff_id and s.max_appointments_per_day > 0
    ),
    days as (
      select p.max_appointments_per_day, tstzrange(
        booking.first_instant(local_date, p.zone),
        booking.first_instant(local_date + interval '1 day', p.zone)
      ) as period
      from place p
      cross join generate_series(
        (p_start_time at time zone p.zone)::date::timestamp,
        ((p_end_time - interval '1 microsecond') at time zone p.zone)::date::timestamp,
        interval '1 day'
      ) as local_date
    ),
    rooms as (
      select d.period, d.max_appointments_per_day - (
        select count(distinct coalesce(a.slot_id, a.id))
        from booking.appointments a
        where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.claim && d.period
          and tstzrange(a.start_time, a.end_time) && d.period
          and upper(a.claim) > lower(d.period) and a.status <> 'cancelled'
          and a.id is distinct from p_without_appointment_id
      ) as room
      from days d
    )
    select max(last.expires_at)
    from rooms r
    cross join lateral (
      select max(h.expires_at) as expires_at
      from booking.slot_reservations h
      join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
      where h.tenant_id = p_tenant_id and h.staff_id = p_staff_id and h.slot_id <> p_slot_id
        and h.expires_at > v_now
        and tstzrange(
          h.start_time, h.start_time + sh.duration_minutes * interval '1 minute'
        ) && r.period
        and not exists (
          select
          from booking.appointments a
          where a.tenant_id = p_tenant_id and a.slot_id = h.slot_id and a.status <> 'cancelled'
            and a.id is distinct from p_without_appointment_id
        )
      group by h.slot_id
      order by 1 desc
      offset greatest(r.room, 1) - 1
      limit 1
    ) as last
    where r.room > 0
  );
end
$$;

comment on function booking.day_is_full_until(
  uuid, uuid, uuid, uuid, timestamptz, timestamptz, uuid
) is
  'Until when holds of other slots leave a slot no room in a person''s max_appointments_per_day;
null: they do not.';
