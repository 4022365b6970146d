-- Which service a slot is taken for: the active type of that code, or without a code the only one,
-- that this person offers in this shape. All null where no code was said and several fit. A hold
-- keeps its start and its notice (promise P3): a type whose step, notice or advance has changed
-- since it was held has another shape now, of the same length and buffers, and still fits. Refuses
-- a code that does not fit (invalid_request), and one that the tenant has withdrawn or changed in
-- length since it was held (appointment_conflict). Reads only; services are public.
create or replace function booking.offered_type(
  p_tenant_id uuid,
  p_staff_id uuid,
  p_shape_id uuid,
  p_code text,
  p_hold booking.slot_reservations default null
) returns booking.appointment_types
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_types booking.appointment_types[] := array(
    select y
    from booking.appointment_types y
    join booking.staff_appointment_types o
      on o.tenant_id = y.tenant_id and o.appointment_type_id = y.id
    where y.tenant_id = p_tenant_id and o.staff_id = p_staff_id and y.is_active
      and (
        y.shape_id = p_shape_id
        or (
          p_hold.id is not null and y.id = coalesce(p_hold.appointment_type_id, y.id)
          and booking.have_same_claims(p_tenant_id, y.shape_id, p_shape_id)
        )
      )
    order by y.code
  );
  v_type booking.appointment_types;
begin
  if p_code is null then
    return case when cardinality(v_types) = 1 then v_types[1] end;
  end if;

  select t.* into v_type from unnest(v_types) as t where t.code = p_code;
  if found then
    return v_type;
  end if;

  perform
  from booking.appointment_types y
  where y.tenant_id = p_tenant_id and y.id = p_hold.appointment_type_id and y.code = p_code;
  if found or cardinality(v_types) = 0 then
    perform booking.refuse_changed();
  end if;

  perform booking.refuse('invalid_request', format(
    'appointment_type is "%s"; expected one that this slot can be booked for: %s.',
    left(p_code, 100), (select string_agg('"' || t.code || '"', ', ') from unnest(v_types) as t)
  ));
  return null;
end
$$;

comment on function booking.offered_type(uuid, uuid, uuid, text, booking.slot_reservations) is
  'The appointment type of that code (null: the only one) that a person offers in a shape, or, for a
hold, in one of the same length and buffers.';

-- Whether slots of two shapes take the same time; classes never share.
create or replace function booking.have_same_claims(
  p_tenant_id uuid,
  p_shape_id uuid,
  p_other_shape_id uuid
) returns boolean
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return exists (
    select
    from booking.slot_shapes a
    join booking.slot_shapes b on b.tenant_id = a.tenant_id
    where a.tenant_id = p_tenant_id and a.id = p_shape_id and b.id = p_other_shape_id
      and not a.is_group and not b.is_group
      and a.duration_minutes = b.duration_minutes
      and a.buffer_before_minutes = b.buffer_before_minutes
      and a.buffer_after_minutes = b.buffer_after_minutes
  );
end
$$;

comment on function booking.have_same_claims(uuid, uuid, uuid) is
  'True for two single shapes of equal duration and buffers.';
