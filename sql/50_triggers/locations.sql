-- locations: zone and activity concern everyone who works there.

create or replace function booking.locations_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_location_ids uuid[];
begin
  for v_tenant_id, v_location_ids in
    select n.tenant_id, array_agg(n.id)
    from changed_rows n
    join old_rows o on o.tenant_id = n.tenant_id and o.id = n.id
    where (o.timezone, o.is_active) is distinct from (n.timezone, n.is_active)
    group by n.tenant_id
    order by n.tenant_id
  loop
    perform booking.lock_tenant(v_tenant_id);
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, v_location_ids), 'locations changed'
    );
  end loop;
  return null;
end
$$;

-- Foreign keys have seen to it that nothing but past slots is left of a place that is deleted.
create or replace function booking.locations_deleted() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
begin
  delete from booking.availability_slots s
  using changed_rows o
  where s.tenant_id = o.tenant_id and s.location_id = o.id;
  return null;
end
$$;

create or replace trigger locations_1_check_time_zone
before insert on booking.locations
for each row when (new.timezone is not null)
execute function booking.check_time_zone();

create or replace trigger locations_1_check_time_zone_on_update
before update on booking.locations
for each row when (old.timezone is distinct from new.timezone and new.timezone is not null)
execute function booking.check_time_zone();

create or replace trigger locations_3_touch_updated_at
before update on booking.locations
for each row execute function booking.touch_updated_at();

create or replace trigger locations_refuse_other_key
before update of tenant_id, id on booking.locations
for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)
execute function booking.refuse_other_key();

create or replace trigger locations_refuse_truncate
before truncate on booking.locations
for each statement execute function booking.refuse_truncate();

create or replace trigger locations_updated
after update on booking.locations
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.locations_changed();

create or replace trigger locations_deleted
after delete on booking.locations
referencing old table as changed_rows
for each statement execute function booking.locations_deleted();
