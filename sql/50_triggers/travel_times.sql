-- travel_times: a change concerns everyone of the tenant who may travel.

create or replace function booking.travel_times_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
begin
  for v_tenant_id in
    select c.tenant_id from changed_rows c group by c.tenant_id order by c.tenant_id
  loop
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, array[null::uuid]), 'travel_times changed'
    );
  end loop;
  return null;
end
$$;

create or replace trigger travel_times_2_lock_tenant
before insert or update or delete on booking.travel_times
for each row execute function booking.lock_tenant_of_row();

create or replace trigger travel_times_3_touch_updated_at
before update on booking.travel_times
for each row execute function booking.touch_updated_at();

create or replace trigger travel_times_refuse_other_key
before update of tenant_id, id on booking.travel_times
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger travel_times_refuse_truncate
before truncate on booking.travel_times
for each statement execute function booking.refuse_truncate();

create or replace trigger travel_times_inserted
after insert on booking.travel_times
referencing new table as changed_rows
for each statement execute function booking.travel_times_changed();

create or replace trigger travel_times_updated
after update on booking.travel_times
referencing new table as changed_rows
for each statement execute function booking.travel_times_changed();

create or replace trigger travel_times_deleted
after delete on booking.travel_times
referencing old table as changed_rows
for each statement execute function booking.travel_times_changed();
