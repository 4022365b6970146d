-- audit_log: append-only, for its owner, too. Rows go when they have been kept as long as
-- settings.audit_retention_days says, and not before.
create or replace function booking.refuse_audit_change() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
declare
  v_kept_since timestamptz := booking.now() - (
    select s.audit_retention_days * interval '1 day' from booking.settings s
  );
begin
  if tg_op = 'DELETE' and old.occurred_at < v_kept_since then
    return old;
  end if;
  raise exception using
    errcode = 'feature_not_supported',
    message = 'booking.audit_log is append-only',
    hint = 'Rows older than settings.audit_retention_days can be deleted.';
end
$$;

create or replace trigger audit_log_refuse_change
before update or delete on booking.audit_log
for each row execute function booking.refuse_audit_change();

create or replace trigger audit_log_refuse_truncate
before truncate on booking.audit_log
for each statement execute function booking.refuse_audit_change();
