-- Where a call comes from: the entry of x-forwarded-for that the outermost proxy of ours wrote, the
-- n-th from the right, n = settings.trusted_proxies. What stands further left is the client's own
-- word. Null where there is none, or where no proxy is trusted. Reads only; refuses nothing.
create or replace function booking.client_address() returns inet
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_entries text[] := regexp_split_to_array(
    nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-forwarded-for', '\s*,\s*'
  );
  v_entry text;
  v_address inet;
begin
  if v_entries is null then
    return null;
  end if;
  v_entry := v_entries[
    cardinality(v_entries) - (select s.trusted_proxies from booking.settings s) + 1
  ];

  -- Some proxies add a port (192.0.2.1:4711, [2001:db8::1]:4711), some write an IPv4 address as
  -- IPv6 (::ffff:192.0.2.1).
  v_address := coalesce(
    substring(v_entry from '^(\d+\.\d+\.\d+\.\d+):\d+$'),
    substring(v_entry from '^\[([0-9a-fA-F:.]+)\](?::\d+)?$'),
    substring(v_entry from '^[0-9a-fA-F:.]+$')
  )::inet;
  return coalesce(substring(host(v_address) from '^::ffff:([0-9.]+)$')::inet, v_address);
exception when invalid_text_representation then
  return null;
end
$$;

comment on function booking.client_address() is
  'The caller''s address, as the outermost trusted proxy saw it, or null.';

-- One household is one client: an IPv6 address counts by its /64.
create or replace function booking.client_network() returns inet
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_address inet := booking.client_address();
begin
  return case
    when family(v_address) = 6 then network(set_masklen(v_address, 64))
    else v_address
  end;
end
$$;

comment on function booking.client_network() is
  'The caller''s address, or of an IPv6 address its /64; null where there is none.';

create or replace function booking.address_hash() returns bytea
language plpgsql stable parallel unsafe
set search_path = ''
as $$
declare
  v_network inet := booking.client_network();
begin
  if v_network is null then
    return null;
  end if;
  return (
    select sha256(convert_to(s.hash_salt::text || v_network, 'UTF8')) from booking.settings s
  );
end
$$;

comment on function booking.address_hash() is
  'The caller''s address (IPv6: its /64) as salted SHA-256, or null.';
