-- slot_shapes: made and changed by appointment types alone, never deleted: appointments and slot
-- ids hang on them.

create or replace function booking.refuse_shape_change() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'feature_not_supported',
    message = 'slot_shapes follow appointment_types and are not written by hand',
    hint = 'Change the appointment type.';
end
$$;

-- For each statement: a row trigger counts the generated is_group as updated, and the row would be
-- locked as if its key changed.
create or replace trigger slot_shapes_refuse_change
before update or delete on booking.slot_shapes
for each statement when (pg_trigger_depth() = 0)
execute function booking.refuse_shape_change();

create or replace trigger slot_shapes_refuse_truncate
before truncate on booking.slot_shapes
for each statement execute function booking.refuse_truncate();
