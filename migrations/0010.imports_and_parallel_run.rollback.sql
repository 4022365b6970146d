set local role booking_owner;

do $$
begin
  if current_setting('lock_timeout') = '0' then
    set local lock_timeout = '500ms';
  end if;
end
$$;

drop table booking.accepted_causes;

-- Comparisons that the older release cannot tell from its own.
delete from booking.verification_runs where compared_with <> 'calculator';

alter table booking.verification_runs
  drop constraint compared_with_is_calculator_or_legacy,
  drop column compared_with;

comment on table booking.verification_runs is
  'Each comparison of what is published with what the calculators say: sizes and findings.';

alter table booking.schedule_exceptions
  drop constraint exception_external_id_is_unique_in_its_source,
  drop column external_id,
  drop column source;

comment on table booking.schedule_exceptions is
  'Dates that differ, in local time, both inclusive: open rows replace the weekly hours of those
dates, closed rows are taken away. Null times are the whole day, null staff_id everyone, null
location_id everywhere.';
