-- Why holds fail, for a tenant's admins.
create or replace view api.hold_refusals with (security_invoker = true) as
select
  a.tenant_id, a.date, a.staff_id, a.appointment_type_id, a.code,
  sum(a.attempts)::bigint as refusals
from booking.attempts_by_day() a
where a.action = 'hold' and a.code is not null
group by a.tenant_id, a.date, a.staff_id, a.appointment_type_id, a.code;

comment on view api.hold_refusals is
  'Why slots could not be held
For a tenant''s admins: refused calls of reserve_slot and reserve_time by date (tenant''s zone),
person, service (null: none is known) and code, such as slot_taken. Calls that were too many are not
on record. Past days are rolled up, today is live.';
