-- tenants: zone, alignment, horizon and defaults concern everyone; deactivation takes effect in the
-- public view at once, and in the slots with the refresh.

create or replace function booking.tenants_changed() returns trigger
language plpgsql volatile parallel unsafe security definer
set search_path = ''
as $$
declare
  v_tenant_id uuid;
  v_has_other_defaults boolean;
begin
  for v_tenant_id, v_has_other_defaults in
    select n.id, (o.slot_step_minutes, o.min_notice_minutes)
      is distinct from (n.slot_step_minutes, n.min_notice_minutes)
    from changed_rows n
    join old_rows o on o.id = n.id
    where (
      o.timezone, o.is_active, o.slot_step_minutes, o.slot_alignment, o.booking_horizon_days,
      o.precompute_days, o.min_notice_minutes
    ) is distinct from (
      n.timezone, n.is_active, n.slot_step_minutes, n.slot_alignment, n.booking_horizon_days,
      n.precompute_days, n.min_notice_minutes
    )
    order by n.id
  loop
    perform booking.lock_tenant(v_tenant_id);
    if v_has_other_defaults then
      -- Types that take the tenant's step or notice find their shapes anew.
      update booking.appointment_types t
      set shape_id = t.shape_id
      where t.tenant_id = v_tenant_id
        and (t.slot_step_minutes is null or t.min_notice_minutes is null);
    end if;
    perform booking.refresh_or_queue(
      v_tenant_id, booking.people_at(v_tenant_id, array[null::uuid]), 'tenants changed'
    );
  end loop;
  return null;
end
$$;

create or replace trigger tenants_1_check_time_zone
before insert on booking.tenants
for each row execute function booking.check_time_zone();

create or replace trigger tenants_1_check_time_zone_on_update
before update on booking.tenants
for each row when (old.timezone is distinct from new.timezone)
execute function booking.check_time_zone();

create or replace trigger tenants_3_touch_updated_at
before update on booking.tenants
for each row execute function booking.touch_updated_at();

create or replace function booking.refuse_other_tenant_id() returns trigger
language plpgsql volatile parallel unsafe
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'integrity_constraint_violation',
    message = 'id of booking.tenants never changes';
end
$$;

create or replace trigger tenants_refuse_other_key
before update of id on booking.tenants
for each row when (old.id <> new.id)
execute function booking.refuse_other_tenant_id();

create or replace trigger tenants_refuse_truncate
before truncate on booking.tenants
for each statement execute function booking.refuse_truncate();

create or replace trigger tenants_updated
after update on booking.tenants
referencing old table as old_rows new table as changed_rows
for each statement execute function booking.tenants_changed();
