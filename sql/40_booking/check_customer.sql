-- What is said about a customer: a JSON object with a name and an email address or a phone number;
-- locale, timezone and whatever else a form asks for are kept as they are. Bounded, and free of
-- control characters where it ends up in mail headers. Refuses: invalid_request, with the field and
-- what was expected; values are the customer's business and are not repeated.
create or replace function booking.check_customer(p_user_data jsonb) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  c_most_bytes constant integer := 8192;
  v_field text;
  v_value jsonb;
  v_pattern text;
  v_most integer;
  v_expected text;
begin
  if p_user_data is null or jsonb_typeof(p_user_data) <> 'object' then
    perform booking.refuse('invalid_request', format(
      'user_data is %s; expected an object with a name, and an email or a phone.',
      coalesce(nullif(jsonb_typeof(p_user_data), 'null'), 'missing')
    ));
  end if;

  if octet_length(p_user_data::text) > c_most_bytes then
    perform booking.refuse('invalid_request', format(
      'user_data has %s bytes; expected at most %s.',
      octet_length(p_user_data::text), c_most_bytes
    ));
  end if;

  for v_field, v_pattern, v_most, v_expected in
    values
      ('name', '^[^[:cntrl:]]*[^[:space:][:cntrl:]][^[:cntrl:]]*$', 200, 'Ada Lovelace'),
      ('email', '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]]+$', 320, 'ada@example.org'),
      ('phone', '^(?=.*[0-9].*[0-9].*[0-9])[0-9 +()/.-]+$', 50, '+43 1 234 56 78'),
      ('locale', '^[A-Za-z0-9_-]+$', 35, 'de-AT'),
      ('timezone', '^[A-Za-z0-9_/+-]+$', 100, 'Europe/Berlin')
  loop
    v_value := p_user_data -> v_field;
    -- All but the name may be missing.
    continue when v_field <> 'name' and coalesce(jsonb_typeof(v_value), 'null') = 'null';
    if coalesce(jsonb_typeof(v_value), 'null') <> 'string'
      or length(v_value #>> '{}') > v_most
      or not (v_value #>> '{}') ~ v_pattern
    then
      perform booking.refuse('invalid_request', format(
        'user_data.%s is %s; expected something like "%s", at most %s characters.', v_field,
        case
          when coalesce(jsonb_typeof(v_value), 'null') = 'null' then 'missing'
          when jsonb_typeof(v_value) <> 'string' then 'of type ' || jsonb_typeof(v_value)
          when length(v_value #>> '{}') > v_most
          then length(v_value #>> '{}') || ' characters long'
          else 'not valid'
        end,
        v_expected, v_most
      ));
    end if;
  end loop;

  if coalesce(p_user_data ->> 'email', p_user_data ->> 'phone') is null then
    perform booking.refuse(
      'invalid_request', 'user_data has neither email nor phone; expected one of them.'
    );
  end if;
end
$$;

comment on function booking.check_customer(jsonb) is
  'Refuses user_data (invalid_request) unless it names a customer and how to reach them.';
