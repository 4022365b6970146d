-- Where holidays come from, so that an import of them can be repeated; and what a comparison with
-- the system that pgbooking takes over from has found, and somebody has accepted.
-- depends: 0009.audit_log_by_time

set local role booking_owner;

-- Whoever comes after a statement that waits for a table waits behind it.
do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

alter table booking.schedule_exceptions
  add column source text not null default 'manual',
  add column external_id text,
  add constraint exception_external_id_is_unique_in_its_source
    unique (tenant_id, source, external_id);

comment on table booking.schedule_exceptions is
  'Dates that differ, in local time, both inclusive: open rows replace the weekly hours of those
dates, closed rows are taken away. Null times are the whole day, null staff_id everyone, null
location_id everywhere. source and external_id make imports repeatable.';

alter table booking.verification_runs
  add column compared_with text not null default 'calculator',
  add constraint compared_with_is_calculator_or_legacy
    check (compared_with in ('calculator', 'legacy'));

comment on table booking.verification_runs is
  'Each comparison of what is published with what the calculators say (compared_with calculator) or
with what the system that pgbooking takes over from offers (legacy): sizes and findings.';

create table booking.accepted_causes (
  tenant_id uuid not null references booking.tenants (id),
  cause text not null,
  accepted_at timestamptz not null default booking.now(),
  primary key (tenant_id, cause)
);

comment on table booking.accepted_causes is
  'Causes of differences from the legacy system that somebody has looked at and found right: those
of later comparisons with such a cause are accepted as they are found.';

alter table booking.accepted_causes enable row level security;
