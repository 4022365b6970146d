-- calendars: they come and go with their people. Without one nobody could be locked, nor compared.

create or replace function booking.refuse_calendar_delete() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = 'calendars follow booking.staff and are not deleted by hand',
    hint = 'Delete or deactivate the staff member.';
end
$$;

create or replace trigger calendars_refuse_delete
before delete on booking.calendars
for each row when (pg_trigger_depth() = 0)
execute function booking.refuse_calendar_delete();

create or replace trigger calendars_refuse_truncate
before truncate on booking.calendars
for each statement execute function booking.refuse_truncate();
