-- transactional: false
drop index concurrently if exists booking.audit_log_occurred_at_idx;
