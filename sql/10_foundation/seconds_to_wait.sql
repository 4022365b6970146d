-- The rate limiter: GCRA, one atomic upsert a call, numbers per minute in booking.settings, as many
-- at once as in a minute. Counts a call of the bucket and says how many seconds its caller has to
-- wait, 0 where it may go on. Whoever is refused does not have to wait longer for it, but is
-- counted.
--
-- Bookings count by user where one is signed in, everything else by address (IPv6 by its /64).
-- Not counted: reading transactions (GET: the edge counts those), the service but for
-- recalculating, and calls that came through no PostgREST or through no proxy of ours
-- (settings.trusted_proxies = 0), because these have no address. Where a proxy is trusted and sent
-- none, all such callers share one count.
--
-- Locks the client's row of rate_limits until the transaction ends: call it before any calendar
-- is locked, and only in a transaction of one call. Equal calls of one client wait for each other
-- therefore; who waits in vain is told to come back in a second.
create or replace function booking.seconds_to_wait(p_bucket text) returns integer
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most constant interval := interval '1 minute';
  v_now timestamptz := booking.now();
  v_settings booking.settings;
  v_per_minute integer;
  v_interval interval;
  v_client text;
  v_key text;
  v_tat timestamptz;
begin
  if current_setting('transaction_read_only') = 'on'
    or (booking.caller_role() = 'service_role' and p_bucket <> 'recalculate_availability')
  then
    return 0;
  end if;

  select s.* into v_settings from booking.settings s;
  v_per_minute := case
    when p_bucket = 'read' then v_settings.reads_per_minute
    when p_bucket in ('reserve_slot', 'release_slot') then v_settings.reserves_per_minute
    when p_bucket = 'recalculate_availability' then v_settings.recalculations_per_minute
    else v_settings.bookings_per_minute
  end;
  -- Rounded down, so that as many as in a minute fit into one.
  v_interval := trunc(60.0 / v_per_minute, 6) * interval '1 second';

  if p_bucket not in ('read', 'reserve_slot', 'release_slot', 'recalculate_availability') then
    v_client := booking.caller_id()::text;
  end if;
  if v_client is null and v_settings.trusted_proxies > 0
    and nullif(current_setting('request.headers', true), '') is not null
  then
    v_client := coalesce(booking.client_network()::text, 'unknown');
  end if;
  if v_client is null then
    return 0;
  end if;
  v_key := encode(sha256(convert_to(v_settings.hash_salt::text || v_client, 'UTF8')), 'hex');

  -- What is further ahead than two minutes shows that somebody has put the clock back. Two and not
  -- one: another call may have read the clock later and come first.
  insert into booking.rate_limits as r (bucket, key, tat)
  values (p_bucket, v_key, v_now + v_interval)
  on conflict (bucket, key) do update
  set tat = v_interval + case
    when r.tat between v_now and v_now + 2 * c_most then r.tat else v_now
  end
  where r.tat <= v_now + c_most - v_interval or r.tat > v_now + 2 * c_most
  returning r.tat into v_tat;
  if found then
    return 0;
  end if;

  update booking.rate_limits r
  set refused = r.refused + 1
  where r.bucket = p_bucket and r.key = v_key
  returning r.tat into v_tat;
  return greatest(1, ceil(extract(epoch from v_tat + v_interval - c_most - v_now)));
exception when lock_not_available or serialization_failure or query_canceled then
  return 1;
end
$$;

comment on function booking.seconds_to_wait(text) is
  'Counts a call of that bucket by the caller, and returns 0 or the seconds until the next one may
come.';
