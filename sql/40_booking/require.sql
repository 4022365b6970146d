-- Bad input: which field, what it says, what was expected (invalid_request). Each refuses by
-- booking.refuse and reads nothing.
create or replace function booking.require_given(p_field text, p_value text, p_expected text)
returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value is null then
    perform booking.refuse(
      'invalid_request', format('%s is missing; expected %s.', p_field, p_expected)
    );
  end if;
end
$$;

comment on function booking.require_given(text, text, text) is
  'Refuses a field that is null (invalid_request).';

create or replace function booking.require_between(
  p_field text,
  p_value numeric,
  p_least numeric,
  p_most numeric
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value not between p_least and p_most then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a number from %s to %s.', p_field, p_value, p_least, p_most
    ));
  end if;
end
$$;

comment on function booking.require_between(text, numeric, numeric, numeric) is
  'Refuses a number that is smaller or greater (invalid_request); null is none.';

-- Dates and instants can be "infinity", or so far away that nothing can be added to them.
create or replace function booking.require_date(p_field text, p_value date) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value not between '1900-01-01' and '9999-12-31' then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a date from 1900-01-01 to 9999-12-31.', p_field, p_value
    ));
  end if;
end
$$;

comment on function booking.require_date(text, date) is
  'Refuses a date outside the years 1900 to 9999 (invalid_request); null is none.';

create or replace function booking.require_time(p_field text, p_value timestamptz) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  if p_value < '1900-01-01 00:00+00' or p_value >= '9999-12-31 00:00+00' then
    perform booking.refuse('invalid_request', format(
      '%s is %s; expected a time in the years 1900 to 9999.', p_field, p_value
    ));
  end if;
end
$$;

comment on function booking.require_time(text, timestamptz) is
  'Refuses an instant outside the years 1900 to 9999 (invalid_request); null is none.';

-- The dates of a listing: both given, in order, and not too many.
create or replace function booking.require_dates(
  p_start_date date,
  p_end_date date,
  p_most_days integer
) returns void
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  perform booking.require_given('start_date', p_start_date::text, 'a date');
  perform booking.require_given('end_date', p_end_date::text, 'a date');
  perform booking.require_date('start_date', p_start_date);
  perform booking.require_date('end_date', p_end_date);
  if p_end_date < p_start_date then
    perform booking.refuse('invalid_request', format(
      'end_date is %s; expected no date before start_date, %s.', p_end_date, p_start_date
    ));
  end if;
  if p_end_date - p_start_date >= p_most_days then
    perform booking.refuse(
      'range_too_large',
      format(
        'start_date and end_date name %s days; expected at most %s.',
        p_end_date - p_start_date + 1, p_most_days
      ),
      null, 'Ask for fewer days at a time.'
    );
  end if;
end
$$;

comment on function booking.require_dates(date, date, integer) is
  'Refuses start_date and end_date (inclusive) that are missing, out of order (invalid_request) or
more than p_most_days (range_too_large).';
