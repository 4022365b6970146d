-- A customer's rights: to get what is kept about them, and to have it erased. A customer is a user
-- (customer_id), or a guest by the email address they gave. For the owner and the operator; nobody
-- else may call these.

-- Their appointments: those of the user, and those of guests with that address, whatever its case.
create or replace function booking.appointments_of_customer(
  p_tenant_id uuid,
  p_customer_id uuid,
  p_email text
) returns setof booking.appointments
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  if p_customer_id is null and p_email is null then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = 'p_customer_id and p_email are both null; expected one of them';
  end if;

  return query
  select a.*
  from booking.appointments a
  where a.tenant_id = p_tenant_id
    and (
      a.customer_id = p_customer_id
      or (
        a.customer_id is null
        and lower(btrim(a.customer ->> 'email')) = lower(btrim(p_email))
      )
    );
end
$$;

comment on function booking.appointments_of_customer(uuid, uuid, text) is
  'Appointments of a user, and of guests who gave this email address.';

create or replace function booking.export_customer(
  p_tenant_id uuid,
  p_customer_id uuid default null,
  p_email text default null
) returns jsonb
language plpgsql stable parallel safe
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'tenant_id', p_tenant_id,
    'exported_at', booking.iso_time(booking.now()),
    'appointments', coalesce((
      select jsonb_agg(
        to_jsonb(a) - '{claim,request_hash,manage_token_hash,slot_id,shape_id}'::text[]
          || jsonb_build_object('staff', s.display_name, 'location', l.name, 'service', y.name)
        order by a.start_time
      )
      from booking.appointments_of_customer(p_tenant_id, p_customer_id, p_email) a
      join booking.staff s on s.tenant_id = a.tenant_id and s.id = a.staff_id
      join booking.locations l on l.tenant_id = a.tenant_id and l.id = a.location_id
      join booking.appointment_types y
        on y.tenant_id = a.tenant_id and y.id = a.appointment_type_id
    ), '[]'),
    'holds', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'start_time', booking.iso_time(h.start_time),
          'reserved_until', booking.iso_time(h.expires_at)
        ) order by h.start_time
      )
      from booking.slot_reservations h
      where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id
    ), '[]'),
    'attempts', coalesce((
      select jsonb_agg(
        jsonb_build_object(
          'occurred_at', booking.iso_time(l.occurred_at),
          'action', l.action,
          'outcome', l.outcome,
          'code', l.code
        ) order by l.occurred_at
      )
      from booking.audit_log l
      where l.tenant_id = p_tenant_id and l.actor_id = p_customer_id
    ), '[]')
  );
end
$$;

comment on function booking.export_customer(uuid, uuid, text) is
  'Everything that is kept about a customer of a tenant (by user id, by email address, or both), as
JSON.';

-- The appointments stay, the person goes: from the appointments, and with their holds. What remains
-- is the audit trail, which knows a user by id only and has its retention, and the payment's
-- reference, which the books need. Locks the appointments' rows, then the calendars of their holds.
create or replace function booking.erase_customer(
  p_tenant_id uuid,
  p_customer_id uuid default null,
  p_email text default null
) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_erased integer;
begin
  update booking.appointments a
  set customer_id = null,
    customer = '{}',
    notes = null,
    cancelled_by = nullif(a.cancelled_by, a.customer_id),
    cancel_reason = null,
    idempotency_key = null,
    request_hash = null,
    manage_token_hash = null
  from booking.appointments_of_customer(p_tenant_id, p_customer_id, p_email) c
  where a.tenant_id = p_tenant_id and a.id = c.id;
  get diagnostics v_erased = row_count;

  -- What they cancelled for others, with a manage_token.
  update booking.appointments a
  set cancelled_by = null, cancel_reason = null
  where a.tenant_id = p_tenant_id and a.cancelled_by = p_customer_id;

  perform booking.lock_calendars(p_tenant_id, array(
    select h.staff_id
    from booking.slot_reservations h
    where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id
  ));
  delete from booking.slot_reservations h
  where h.tenant_id = p_tenant_id and h.customer_id = p_customer_id;

  insert into booking.audit_log (tenant_id, action, outcome, actor_id, actor_role, details)
  values (
    p_tenant_id, 'erase_customer', 'success', booking.caller_id(),
    coalesce(booking.caller_role(), session_user), jsonb_build_object('appointments', v_erased)
  );
  return v_erased;
end
$$;

comment on function booking.erase_customer(uuid, uuid, text) is
  'Takes a customer''s name, contact, notes and keys off their appointments of a tenant and deletes
their holds; returns how many appointments.';
