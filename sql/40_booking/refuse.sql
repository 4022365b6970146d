-- A refusal: something that callers must expect, and no fault. Raised from any depth of a booking
-- function; attempt() takes back what was done so far and makes it an answer with a code, an HTTP
-- status and an audit row. Whoever calls a booking function directly sees an error of SQLSTATE
-- PB001, the code as its constraint name. Volatile, or the planner would try it out.
create or replace function booking.refuse(
  p_code text,
  p_message text,
  p_details text default null,
  p_hint text default null
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PB001',
    constraint = p_code,
    message = p_message,
    detail = coalesce(p_details, ''),
    hint = coalesce(p_hint, '');
end
$$;

comment on function booking.refuse(text, text, text, text) is
  'Raises a refusal (SQLSTATE PB001): code, message and, where there are any, details and hint.';

-- Bad input: which field, what it says, what was expected. p_is_secret leaves the value out.
create or replace function booking.require_length(
  p_field text,
  p_value text,
  p_least integer,
  p_most integer,
  p_is_secret boolean default false
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if coalesce(length(p_value), 0) between p_least and p_most then
    return;
  end if;
  perform booking.refuse('invalid_request', format(
    '%s is %s; expected %s to %s characters.', p_field,
    case
      when p_value is null then 'missing'
      when p_is_secret or length(p_value) > 100 then length(p_value) || ' characters long'
      else '"' || p_value || '"'
    end,
    p_least, p_most
  ));
end
$$;

comment on function booking.require_length(text, text, integer, integer, boolean) is
  'Refuses a text that is shorter or longer (invalid_request); null is as long as nothing.';
