-- A price as it is charged: rounded half up to the smallest unit that the currency has by ISO 4217,
-- never below 0, and at most the largest such amount that an integer holds. Prices are hundredths
-- of every currency, so yen and others without minor units are whole hundreds. No arithmetic that
-- could lose a digit. Reads nothing, refuses nothing; null of null.
create or replace function booking.rounded_price(p_cents numeric, p_currency text)
returns integer
language sql immutable parallel safe
set search_path = ''
as $$
  select case when p_cents is not null then least(
    div(greatest(p_cents, 0) + unit.cents * 0.5, unit.cents) * unit.cents,
    2147483647 - mod(2147483647, unit.cents)
  )::integer end
  from (
    select case
      when p_currency in (
        'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'UYI', 'VND',
        'VUV', 'XAF', 'XOF', 'XPF'
      )
      then 100
      else 1
    end as cents
  ) as unit
$$;

comment on function booking.rounded_price(numeric, text) is
  'Hundredths of a currency, rounded half up to its smallest unit (whole hundreds for yen and others
without minor units), from 0 to the largest integer.';
