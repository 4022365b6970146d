-- Promise P2 as a question: where does availability_slots differ from what the calculator and
-- slot_reservations say? Past dates are not asked, and calendars in refresh_queue are left out,
-- both by design. Reads only; run it in a REPEATABLE READ transaction to be sure of one moment.
create or replace function booking.find_differences(
  p_tenant_id uuid,
  p_staff_ids uuid[] default null
) returns table (
  staff_id uuid,
  slot_id uuid,
  location_id uuid,
  shape_id uuid,
  start_time timestamptz,
  kind text,
  published jsonb,
  expected jsonb
)
language plpgsql stable parallel safe
set search_path = ''
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_nestloop = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_staff_ids uuid[] := array(
    select c.staff_id
    from booking.calendars c
    where c.tenant_id = p_tenant_id and (p_staff_ids is null or c.staff_id = any (p_staff_ids))
      and not exists (
        select from booking.refresh_queue q
        where q.tenant_id = p_tenant_id and q.staff_id = c.staff_id
      )
  );
begin
  return query
  with wanted as (
    select e.staff_id, e.location_id, e.shape_id, e.start_time,
      to_jsonb(e) - '{staff_id,location_id,shape_id,start_time}'::text[] as content,
      -- Said twice, the second is missing: nothing can be stored twice.
      row_number() over (
        partition by e.staff_id, e.location_id, e.shape_id, e.start_time
      ) as copy
    from booking.expected_slots(p_tenant_id, v_staff_ids, null, null) e
  ),
  found as (
    select s.id, s.staff_id, s.location_id, s.shape_id, s.start_time,
      to_jsonb(s) - '{tenant_id,id,staff_id,location_id,shape_id,start_time,calculated_at}'::text[]
        as content
    from booking.availability_slots s
    left join booking.published_bounds(p_tenant_id, v_staff_ids, null, null) b
      on b.staff_id = s.staff_id and b.location_id = s.location_id
    where s.tenant_id = p_tenant_id and s.staff_id = any (v_staff_ids)
      and (b.staff_id is null or s.start_time >= b.first_start)
  )
  select
    coalesce(w.staff_id, f.staff_id),
    coalesce(f.id, booking.slot_id(
      p_tenant_id, w.staff_id, w.location_id, w.start_time, w.shape_id
    )),
    coalesce(w.location_id, f.location_id),
    coalesce(w.shape_id, f.shape_id),
    coalesce(w.start_time, f.start_time),
    case when f.id is null then 'missing' when w.content is null then 'extra' else 'wrong' end,
    f.content, w.content
  from wanted w
  full join found f
    on f.staff_id = w.staff_id and f.location_id = w.location_id
    and f.shape_id = w.shape_id and f.start_time = w.start_time and w.copy = 1
  where f.content is distinct from w.content
  order by 1, 5, 4;
end
$$;

comment on function booking.find_differences(uuid, uuid[]) is
  'Rows of availability_slots that are missing, extra or wrong, as published and as expected.';
