-- The steps of `pgbooking adopt`, each of one calendar or of one queued row, in a transaction of
-- its own, which ends is_writing with it. They wait for a calendar for as long as the caller's
-- lock_timeout allows, and for nothing of the old system's.

-- Makes a calendar agree with all rows that the old tables have of that person, and returns how
-- many busy times that has changed. Rows that cannot be followed go to the queue.
create or replace function booking_adoption.copy_calendar(p_tenant_id uuid, p_staff_id uuid)
returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_tenant text;
  v_staff text;
  v_section text;
  v_source text;
  v_rows jsonb;
  v_kept text[];
  v_known text[];
  v_time record;
  v_state text;
  v_error text;
  v_count integer;
  v_written integer := 0;
begin
  perform set_config('booking_adoption.is_writing', 'here', true);
  select t.external_id, s.external_id into strict v_tenant, v_staff
  from booking_adoption.tenants t
  join booking.staff s on s.tenant_id = t.tenant_id
  where t.tenant_id = p_tenant_id and s.id = p_staff_id;

  -- Whoever in the old system has written one of this person's rows, and has followed it, holds
  -- this until commit; what is not followed yet is in the queue.
  perform booking.lock_calendars(p_tenant_id, array[p_staff_id]);

  foreach v_section in array array['busy_times', 'appointments'] loop
    continue when not booking_adoption.has_section(v_section);
    v_source := booking_adoption.source_of(v_section);
    select coalesce(jsonb_agg(r.content), '[]') into v_rows
    from booking_adoption.find_rows_of(v_section, v_tenant, v_staff) r;

    -- Each of these by itself: what both have, and what cannot be read.
    for v_time in
      select t.external_id, t.content
      from booking_adoption.times_of(p_tenant_id, v_rows) t
      where (t.problem is not null and t.status <> 'cancelled')
        or booking_adoption.row_of(p_tenant_id, v_section, t.external_id) is not null
      order by t.start_time, t.external_id
    loop
      begin
        perform booking_adoption.follow_time(
          p_tenant_id, v_section, v_time.external_id, v_time.content, true
        );
      exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
        perform booking_adoption.keep_failure(
          v_section, v_tenant, v_time.external_id, v_state, v_error
        );
      end;
    end loop;

    -- By arrays, which are hashed: nobody knows how many rows a function returns. What cannot be
    -- read takes the time that it had; what is still to be written there is not undone.
    v_kept := array(
      select t.external_id
      from booking_adoption.times_of(p_tenant_id, v_rows) t
      where t.status <> 'cancelled'
      union
      select q.external_id
      from booking_adoption.queue q
      where q.section = v_section and q.tenant = v_tenant and q.row_id is not null
        and q.external_id is not null
    );
    v_known := array(
      select b.external_id
      from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.source = v_source and b.external_id is not null
    );
    with wanted as materialized (
      select t.external_id, c.claim
      from booking_adoption.times_of(p_tenant_id, v_rows) t
      cross join lateral (
        select booking.claim_of(
          t.start_time, t.end_time, t.buffer_before_minutes, t.buffer_after_minutes
        ) as claim
      ) as c
      where t.problem is null and t.status <> 'cancelled'
        and booking_adoption.row_of(p_tenant_id, v_section, t.external_id) is null
        and not booking_adoption.is_to_be_written(v_section, p_tenant_id, t.external_id, null)
    ),
    gone as (
      delete from booking.busy_times b
      where b.tenant_id = p_tenant_id and b.staff_id = p_staff_id and b.source = v_source
        and b.external_id <> all (v_kept)
      returning b.id
    ),
    changed as (
      update booking.busy_times b
      set staff_id = p_staff_id, start_time = lower(w.claim), end_time = upper(w.claim)
      from wanted w
      where b.tenant_id = p_tenant_id and b.source = v_source and b.external_id = w.external_id
        and (b.staff_id, b.start_time, b.end_time)
          is distinct from (p_staff_id, lower(w.claim), upper(w.claim))
      returning b.id
    ),
    made as (
      insert into booking.busy_times (
        tenant_id, staff_id, start_time, end_time, source, external_id
      )
      select p_tenant_id, p_staff_id, lower(w.claim), upper(w.claim), v_source, w.external_id
      from wanted w
      where w.external_id <> all (v_known)
      -- Somebody gives it to another person just now.
      on conflict (tenant_id, source, external_id) do nothing
      returning external_id
    ),
    -- Or gives it to somebody whose calendar is switched, where it becomes an appointment: nothing
    -- of that is seen here, nor there that it is copied. Whoever looks once more sees both.
    looked_at_again as (
      insert into booking_adoption.queue (section, tenant, external_id)
      select v_section, v_tenant, m.external_id
      from made m
      where v_section = 'appointments' and exists (
        select from booking_adoption.calendars c
        where c.tenant_id = p_tenant_id and c.is_switched
      )
    )
    select (select count(*) from gone) + (select count(*) from changed)
      + (select count(*) from made)
    into v_count;
    v_written := v_written + v_count;

    -- Appointments whose old row is gone.
    if v_section = 'appointments' then
      for v_time in
        select k.external_id
        from booking_adoption.links k
        join booking.appointments a on a.tenant_id = k.tenant_id and a.id = k.row_id
        where k.tenant_id = p_tenant_id and k.section = v_section and a.staff_id = p_staff_id
          and a.status <> 'cancelled'
          and not booking_adoption.is_to_be_written(v_section, p_tenant_id, k.external_id, a.id)
          and booking_adoption.find_row(v_section, k.external_id, false) is null
      loop
        perform booking_adoption.follow_time(
          p_tenant_id, v_section, v_time.external_id, null, true
        );
      end loop;
    end if;
  end loop;

  update booking_adoption.calendars c
  set copied_at = booking.now() where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id;
  return v_written;
end
$$;

-- Every row that an old table has, and every one that was taken over from it, in order.
create or replace function booking_adoption.keys_to_copy(p_section text)
returns table (tenant text, external_id text)
language sql volatile parallel unsafe
set search_path = ''
as $$
  select k.tenant, k.external_id from booking_adoption.old_keys(p_section) k
  union
  select t.external_id, k.external_id
  from booking_adoption.tenants t
  cross join lateral booking_adoption.known_keys(p_section, t.tenant_id) as k(external_id)
  order by 1, 2
$$;

-- Follows a row, which nobody changes meanwhile; if that fails it goes to the queue. Waits for
-- locks no more than a trigger does.
create or replace function booking_adoption.copy_row(p_section text, p_tenant text, p_key text)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_state text;
  v_error text;
begin
  perform set_config('booking_adoption.is_writing', 'copying', true);
  perform booking_adoption.follow_row(p_section, p_tenant, p_key, p_lock => true);
exception when others then
  get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
  perform booking_adoption.keep_failure(p_section, p_tenant, p_key, v_state, v_error);
end
$$;

-- Who offers what, of one person: what the old system says, else everything. In one statement, so
-- that the calendar is published once.
create or replace function booking_adoption.copy_offers(p_tenant_id uuid, p_staff_id uuid)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform set_config('booking_adoption.is_writing', 'here', true);
  with wanted as (
    select t.id
    from booking.staff s
    join booking.appointment_types t on t.tenant_id = s.tenant_id and t.external_id is not null
    where s.tenant_id = p_tenant_id and s.id = p_staff_id and (
      not booking_adoption.has_section('offers')
      or booking_adoption.find_row(
        'offers', jsonb_build_array(s.external_id, t.external_id)::text, false
      ) is not null
    )
  ),
  gone as (
    delete from booking.staff_appointment_types o
    using booking.appointment_types t
    where o.tenant_id = p_tenant_id and o.staff_id = p_staff_id and t.tenant_id = p_tenant_id
      and t.id = o.appointment_type_id and t.external_id is not null
      and not exists (select from wanted w where w.id = t.id)
  )
  insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
  select p_tenant_id, p_staff_id, w.id
  from wanted w
  where not exists (
    select from booking.staff_appointment_types o
    where o.tenant_id = p_tenant_id and o.staff_id = p_staff_id and o.appointment_type_id = w.id
  )
  order by w.id;
end
$$;

-- One queue entry for each row that fails.
create or replace function booking_adoption.keep_failure(
  p_section text,
  p_tenant text,
  p_key text,
  p_state text,
  p_error text
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  insert into booking_adoption.queue (section, tenant, external_id, attempts, sqlstate, last_error)
  select p_section, p_tenant, p_key, 1, p_state, p_error
  where not exists (
    select from booking_adoption.queue q
    where q.section = p_section and q.tenant = p_tenant and q.external_id = p_key
      and q.row_id is null
  );
end
$$;

-- From now on pgbooking leads this calendar: what lies ahead becomes appointments, and what cannot
-- stays a busy time. Returns how many it has booked. Switched already, it takes what has come
-- since.
create or replace function booking_adoption.switch_calendar(p_tenant_id uuid, p_staff_id uuid)
returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_keys text[];
  v_rows jsonb;
  v_count integer;
begin
  perform set_config('booking_adoption.is_writing', 'here', true);
  perform booking_adoption.copy_calendar(p_tenant_id, p_staff_id);
  update booking_adoption.calendars c
  set is_switched = true, is_written = true
  where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id;

  v_keys := array(
    select b.external_id
    from booking.busy_times b
    where b.tenant_id = p_tenant_id and b.staff_id = p_staff_id
      and b.source = booking_adoption.source_of('appointments') and b.end_time > booking.now()
  );
  select coalesce(jsonb_agg(r.content), '[]') into v_rows
  from booking_adoption.tenants t
  join booking.staff s on s.tenant_id = t.tenant_id
  cross join lateral booking_adoption.find_rows_of('appointments', t.external_id, s.external_id) r
  where t.tenant_id = p_tenant_id and s.id = p_staff_id
    and r.content ->> 'external_id' = any (v_keys);
  v_count := booking_adoption.book(p_tenant_id, v_rows);

  -- What was booked here before goes there.
  perform booking_adoption.write('appointments', false, to_jsonb(a))
  from booking.appointments a
  where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.status <> 'cancelled'
    and a.end_time > booking.now() and not exists (
      select from booking_adoption.links k
      where k.tenant_id = a.tenant_id and k.section = 'appointments' and k.row_id = a.id
    );
  return v_count;
end
$$;

-- What has stayed a busy time of a switched calendar, and why.
create or replace function booking_adoption.not_booked(p_tenant_id uuid, p_staff_id uuid)
returns table (
  external_id text, start_time timestamptz, end_time timestamptz, period text, reason text
)
language sql stable parallel safe
set search_path = ''
as $$
  select
    b.external_id, b.start_time, b.end_time,
    booking.period_text(b.start_time, b.end_time, n.timezone),
    coalesce(
      i.problem,
      i.appointment_problem,
      (
        select format(
          'overlaps %s, %s',
          coalesce('row ' || k.external_id, 'an appointment of pgbooking'),
          booking.period_text(a.start_time, a.end_time, n.timezone)
        )
        from booking.appointments a
        left join booking_adoption.links k
          on k.tenant_id = a.tenant_id and k.section = 'appointments' and k.row_id = a.id
        where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.status <> 'cancelled'
          and a.claim && booking.claim_of(
            i.start_time, i.end_time, i.buffer_before_minutes, i.buffer_after_minutes
          )
        order by a.start_time
        limit 1
      ),
      'cannot be booked: switch again to see whether it can by now'
    ) as reason
  from booking.busy_times b
  join booking.tenants n on n.id = b.tenant_id
  left join lateral booking_adoption.times_of(
    p_tenant_id,
    jsonb_build_array(booking_adoption.find_row('appointments', b.external_id, false))
  ) i on true
  where b.tenant_id = p_tenant_id and b.staff_id = p_staff_id
    and b.source = booking_adoption.source_of('appointments') and b.end_time > booking.now()
  order by b.start_time, b.external_id
$$;

-- From now on the old system leads this calendar again: its appointments that lie ahead are busy
-- times. Those that were booked here stay appointments, and follow their old rows; so do those that
-- pgbooking still has something to tell of (events, payments). Returns how many it has turned back.
create or replace function booking_adoption.back_calendar(p_tenant_id uuid, p_staff_id uuid)
returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  perform set_config('booking_adoption.is_writing', 'here', true);
  -- Rows before the calendar, as everywhere.
  perform
  from booking.appointments a
  where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.source = 'legacy'
    and a.status <> 'cancelled' and a.end_time > booking.now()
  order by a.id
  for update;
  perform booking.lock_calendars(p_tenant_id, array[p_staff_id]);

  v_ids := array(
    select a.id
    from booking.appointments a
    join booking_adoption.links k
      on k.tenant_id = a.tenant_id and k.section = 'appointments' and k.row_id = a.id
    where a.tenant_id = p_tenant_id and a.staff_id = p_staff_id and a.source = 'legacy'
      and a.status <> 'cancelled' and a.end_time > booking.now()
      and a.payment_status = 'not_required' and a.manage_token_hash is null
      and not booking_adoption.is_to_be_written('appointments', p_tenant_id, k.external_id, a.id)
      and not exists (
        select from booking.events e
        where e.tenant_id = a.tenant_id and e.appointment_id = a.id and e.processed_at is null
      )
  );
  -- Busy first, so that the time is free at no moment.
  insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source, external_id)
  select a.tenant_id, a.staff_id, lower(a.claim), upper(a.claim), a.source, k.external_id
  from booking.appointments a
  join booking_adoption.links k
    on k.tenant_id = a.tenant_id and k.section = 'appointments' and k.row_id = a.id
  where a.tenant_id = p_tenant_id and a.id = any (v_ids);
  delete from booking.appointments a where a.tenant_id = p_tenant_id and a.id = any (v_ids);
  delete from booking_adoption.links k
  where k.tenant_id = p_tenant_id and k.section = 'appointments' and k.row_id = any (v_ids);

  update booking_adoption.calendars c
  set is_switched = false where c.tenant_id = p_tenant_id and c.staff_id = p_staff_id;
  perform booking_adoption.copy_calendar(p_tenant_id, p_staff_id);
  return cardinality(v_ids);
end
$$;

-- Takes the next row of the queue, and returns 1; 0 when none is due. Only one session at a time
-- works the queue off. Whoever runs the jobs need not be the role that has installed this.
create or replace function booking_adoption.follow_queued() returns integer
language plpgsql volatile parallel unsafe security definer
set search_path = ''
set lock_timeout = '10ms'
as $$
declare
  c_worker constant integer := hashtext('booking_adoption.queue');
  v_now timestamptz := booking.now();
  v_entry booking_adoption.queue;
  v_last bigint;
  v_state text;
  v_error text;
begin
  perform set_config('booking_adoption.is_writing', 'here', true);
  if not pg_try_advisory_xact_lock(c_worker) then
    return 0;
  end if;
  select q.* into v_entry
  from booking_adoption.queue q
  where q.retry_at <= v_now
  order by q.retry_at, q.id
  limit 1;
  if not found then
    return 0;
  end if;
  -- Every entry of this row up to here; those that come later are told of something later.
  select max(q.id), bool_or(q.is_deleted) into v_last, v_entry.is_deleted
  from booking_adoption.queue q
  where q.section = v_entry.section and q.external_id is not distinct from v_entry.external_id
    and q.tenant is not distinct from v_entry.tenant
    and q.row_id is not distinct from v_entry.row_id;

  begin
    if v_entry.external_id is null and v_entry.row_id is null then
      raise exception using
        errcode = coalesce(v_entry.sqlstate, 'no_data_found'), message = v_entry.last_error;
    elsif v_entry.row_id is not null then
      perform set_config('booking_adoption.is_writing', 'there ' || v_entry.section, true);
      perform booking_adoption.write_row(
        v_entry.section, t.tenant_id, v_entry.row_id, v_entry.external_id, v_entry.is_deleted
      )
      from booking_adoption.tenants t where t.external_id = v_entry.tenant;
    elsif v_entry.section = 'calendars' then
      perform booking_adoption.copy_calendar(t.tenant_id, s.id)
      from booking_adoption.tenants t
      join booking.staff s on s.tenant_id = t.tenant_id and s.external_id = v_entry.external_id
      where t.external_id = v_entry.tenant;
    else
      perform booking_adoption.follow_row(
        v_entry.section, v_entry.tenant, v_entry.external_id, p_lock => true
      );
    end if;
  exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_error = message_text;
  end;

  delete from booking_adoption.queue q
  where q.section = v_entry.section and q.external_id is not distinct from v_entry.external_id
    and q.tenant is not distinct from v_entry.tenant
    and q.row_id is not distinct from v_entry.row_id
    and (q.id < v_last or (q.id = v_last and v_error is null));
  if v_error is not null then
    update booking_adoption.queue q
    set attempts = v_entry.attempts + 1, sqlstate = v_state, last_error = v_error,
      retry_at = v_now + case
        -- Somebody was writing it: not the row's fault.
        when v_state in ('55P03', '40001') then interval '1 second'
        else interval '1 minute' * least(2 ^ (v_entry.attempts + 1), 64)
      end
    where q.id = v_last;
  end if;
  return 1;
end
$$;

comment on function booking_adoption.follow_queued() is
  'Makes the next row of the queue agree; 1, or 0 when none is due.';
