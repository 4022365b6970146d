-- Zones are names of the IANA database, as this server has it; offsets and abbreviations, which AT
-- TIME ZONE would take, know no clock changes. A trigger and not a constraint, because the look-up
-- reads the server's zone files (30 ms), and a constraint is asked at every update of any column.
-- Raises check_violation under the name of the rule, timezone_is_an_iana_name.
create or replace function booking.is_time_zone(p_name text) returns boolean
language sql stable parallel safe
set search_path = ''
as $$
  select exists (select from pg_catalog.pg_timezone_names where name = p_name)
    and p_name !~ '^(posix|right)/|^(localtime|posixrules|Factory)$'
$$;

comment on function booking.is_time_zone(text) is
  'True for a name of the IANA time zone database, as this server has it.';

create or replace function booking.check_time_zone() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if not booking.is_time_zone(new.timezone) then
    raise exception using
      errcode = 'check_violation',
      constraint = 'timezone_is_an_iana_name',
      message = format(
        'timezone_is_an_iana_name: this server knows no time zone "%s"', new.timezone
      ),
      hint = 'Write a name like Europe/Berlin or UTC.';
  end if;
  return new;
end
$$;
