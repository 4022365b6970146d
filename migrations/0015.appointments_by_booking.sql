-- Analytics find what was booked on a day. Built without holding anybody up; a build that was
-- stopped leaves an invalid index behind, which the next try drops.
-- transactional: false
-- depends: 0014.analytics

drop index concurrently if exists booking.appointments_tenant_id_created_at_idx;

create index concurrently appointments_tenant_id_created_at_idx
on booking.appointments (tenant_id, created_at) where (source = 'api');
