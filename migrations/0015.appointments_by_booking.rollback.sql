-- transactional: false
drop index concurrently if exists booking.appointments_tenant_id_created_at_idx;
