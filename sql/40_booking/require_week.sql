-- The "hours" of set_working_hours: a JSON array of {"location_id", "weekday" (ISO, 1 Monday to 7
-- Sunday), "start_time", "end_time" (HH:MM, local time of the place; 24:00 and over midnight as in
-- booking.working_hours)}. Refuses with invalid_request and names the first field that is none.
-- Places must be the tenant's. Reads only.
create or replace function booking.require_week(
  p_tenant_id uuid,
  p_hours jsonb,
  p_most_rows integer
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_field text;
  v_value text;
  v_expected text;
begin
  if jsonb_typeof(p_hours) is distinct from 'array' then
    perform booking.refuse('invalid_request', format(
      'hours is %s; expected a list.', coalesce(nullif(jsonb_typeof(p_hours), 'null'), 'missing')
    ));
  end if;
  if jsonb_array_length(p_hours) > p_most_rows then
    perform booking.refuse('invalid_request', format(
      'hours has %s entries; expected at most %s.', jsonb_array_length(p_hours), p_most_rows
    ));
  end if;

  select format('hours[%s]%s', entry.number - 1, coalesce('.' || field.name, '')),
    entry.content ->> field.name, field.expected
  into v_field, v_value, v_expected
  from jsonb_array_elements(p_hours) with ordinality as entry(content, number)
  cross join lateral (
    values
      (1, null, jsonb_typeof(entry.content) = 'object', 'an object'),
      (2, 'location_id', exists (
        select
        from booking.locations l
        where l.tenant_id = p_tenant_id and l.id::text = lower(entry.content ->> 'location_id')
      ), 'the id of one of this tenant''s places'),
      (3, 'weekday', entry.content ->> 'weekday' ~ '^[1-7]$', 'a number from 1 (Monday) to 7'),
      (4, 'start_time', entry.content ->> 'start_time' ~ '^([01]\d|2[0-3]):[0-5]\d(:00)?$',
        'a time like 09:00'),
      (5, 'end_time', entry.content ->> 'end_time' ~ '^(([01]\d|2[0-3]):[0-5]\d|24:00)(:00)?$',
        'a time like 17:00')
  ) as field(number, name, is_good, expected)
  where not coalesce(field.is_good, false)
  order by entry.number, field.number
  limit 1;
  if found then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected %s.', v_field,
      coalesce('"' || left(v_value, 100) || '"', 'missing or of another kind'), v_expected
    ));
  end if;
end
$$;

comment on function booking.require_week(uuid, jsonb, integer) is
  'Refuses a week of working hours that is none (invalid_request).';
