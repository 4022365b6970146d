-- P5, tenants are sealed, in the rows: the published slots, which have no foreign keys, name people,
-- places, shapes and appointments of their own tenant.
with strangers as (
  select s.staff_id, s.id, s.start_time, 'staff_id' as column_name, s.staff_id as value
  from booking.availability_slots s
  left join booking.staff p on p.tenant_id = s.tenant_id and p.id = s.staff_id
  where s.tenant_id = %(tenant_id)s and p.id is null
  union all
  select s.staff_id, s.id, s.start_time, 'location_id', s.location_id
  from booking.availability_slots s
  left join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id
  where s.tenant_id = %(tenant_id)s and l.id is null
  union all
  select s.staff_id, s.id, s.start_time, 'shape_id', s.shape_id
  from booking.availability_slots s
  left join booking.slot_shapes sh on sh.tenant_id = s.tenant_id and sh.id = s.shape_id
  where s.tenant_id = %(tenant_id)s and sh.id is null
  union all
  select s.staff_id, s.id, s.start_time, 'appointment_id', s.appointment_id
  from booking.availability_slots s
  left join booking.appointments a on a.tenant_id = s.tenant_id and a.id = s.appointment_id
  where s.tenant_id = %(tenant_id)s and s.appointment_id is not null and a.id is null
)
select
  'wrong' as kind, s.staff_id, s.id as slot_id, s.start_time,
  jsonb_build_object(s.column_name, s.value) as published, null::jsonb as expected,
  format('the slot''s %%s is nothing of this tenant', s.column_name) as reason
from strangers s
where %(staff_id)s::uuid is null or s.staff_id = %(staff_id)s
order by 2, 4, 3
