-- Why a person can or cannot be booked at a time, for the tenant's staff and admins and the
-- service: for each place where they work and each kind of slot that they offer (or the one of
-- appointment_type), every rule in order. is_available is what reserving would find. Called
-- directly, without a token, it is ruled by grants. Refuses: invalid_request, not_found (missing
-- and foreign look alike). Reads only, in the frame of booking.answer.
create or replace function booking.explain_availability(p_request jsonb) returns jsonb
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant_id uuid := (p_request ->> 'tenant_id')::uuid;
  v_staff_id uuid := (p_request ->> 'staff_id')::uuid;
  v_at timestamptz := (p_request ->> 'at')::timestamptz;
  v_code text := p_request ->> 'appointment_type';
  v_person booking.staff;
  v_candidates jsonb;
begin
  perform booking.require_given('tenant_id', v_tenant_id::text, 'the id of a tenant');
  perform booking.require_given('staff_id', v_staff_id::text, 'the id of a person');
  perform booking.require_given('at', v_at::text, 'a time');
  perform booking.require_time('at', v_at);

  select s.* into v_person
  from booking.staff s
  where s.tenant_id = v_tenant_id and s.id = v_staff_id
    and (booking.caller_claims() is null or booking.caller_is_member(s.tenant_id));
  if not found then
    perform booking.refuse('not_found', 'There is no such person.');
  end if;
  if v_code is not null then
    perform from booking.appointment_types y where y.tenant_id = v_tenant_id and y.code = v_code;
    if not found then
      perform booking.refuse('invalid_request', format(
        'appointment_type is "%s"; expected the code of one of this tenant''s services.',
        left(v_code, 100)
      ));
    end if;
  end if;

  select jsonb_agg(c.candidate order by c.name, c.codes) into v_candidates
  from (
    select l.name, y.codes, jsonb_build_object(
      'location_id', l.id,
      'location_name', l.name,
      'timezone', coalesce(l.timezone, t.timezone),
      'local_time', to_char(
        v_at at time zone coalesce(l.timezone, t.timezone), 'YYYY-MM-DD"T"HH24:MI:SS'
      ),
      'appointment_types', to_jsonb(y.codes),
      'slot_id', booking.slot_id(v_tenant_id, v_staff_id, l.id, v_at, y.shape_id),
      'is_available', e.is_available,
      'rules', e.rules
    ) as candidate
    from booking.locations l
    join booking.tenants t on t.id = l.tenant_id
    cross join (
      select y.shape_id, array_agg(y.code order by y.code) as codes,
        (array_agg(y.id order by y.code))[1] as type_id
      from booking.appointment_types y
      where y.tenant_id = v_tenant_id
        and case
          when v_code is not null then y.code = v_code
          else y.is_active and exists (
            select
            from booking.staff_appointment_types o
            where o.tenant_id = v_tenant_id and o.staff_id = v_staff_id
              and o.appointment_type_id = y.id
          )
        end
      group by y.shape_id
    ) as y
    cross join lateral (
      select
        bool_and(coalesce(x.passed, false)) as is_available,
        jsonb_agg(jsonb_build_object(
          'rule', x.rule, 'passed', x.passed, 'message', x.message, 'evidence', x.evidence
        ) order by x.number) as rules
      from booking.explain_slot(v_tenant_id, v_staff_id, l.id, y.type_id, v_at)
        with ordinality as x(rule, passed, message, evidence, number)
    ) as e
    where l.tenant_id = v_tenant_id and (
      exists (
        select
        from booking.working_hours h
        where h.tenant_id = v_tenant_id and h.staff_id = v_staff_id and h.location_id = l.id
      )
      or exists (
        select
        from booking.schedule_exceptions x
        where x.tenant_id = v_tenant_id and x.staff_id = v_staff_id and x.location_id = l.id
          and x.kind = 'open'
      )
    )
  ) as c;

  return jsonb_build_object(
    'staff_id', v_staff_id,
    'staff_name', v_person.display_name,
    'at', booking.iso_time(v_at),
    'is_queued', exists (
      select
      from booking.refresh_queue q
      where q.tenant_id = v_tenant_id and q.staff_id = v_staff_id
    ),
    'message', case
      when v_candidates is not null then null
      else format(
        '%s has no working hours at any place, or offers nothing.', v_person.display_name
      )
    end,
    'candidates', coalesce(v_candidates, '[]')
  );
end
$$;

comment on function booking.explain_availability(jsonb) is
  'Worker of api.explain_availability: for each place and kind of slot, every rule with its verdict
and the rows behind it. is_queued: the calendar waits in refresh_queue; what is published is
older.';
