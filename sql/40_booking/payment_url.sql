-- Where a customer pays: the tenant's payment_url_template with {appointment_id}, {amount_cents}
-- and {currency} filled in; null where there is no template. Reads only.
create or replace function booking.payment_url(p_appointment booking.appointments) returns text
language sql stable parallel safe
set search_path = ''
as $$
  select replace(replace(replace(
    t.payment_url_template,
    '{appointment_id}', p_appointment.id::text),
    '{amount_cents}', p_appointment.price_cents::text),
    '{currency}', p_appointment.currency
  )
  from booking.tenants t
  where t.id = p_appointment.tenant_id
$$;

comment on function booking.payment_url(booking.appointments) is
  'The tenant''s payment_url_template for an appointment, or null.';
