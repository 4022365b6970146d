-- Retention finds what is old without reading the whole trail. BRIN, because rows come in the order
-- of their time: a few pages for millions of them. Built without holding anybody up; a build that
-- was stopped leaves an invalid index behind, which the next try drops.
-- transactional: false
-- depends: 0008.jobs

drop index concurrently if exists booking.audit_log_occurred_at_idx;

create index concurrently audit_log_occurred_at_idx on booking.audit_log using brin (occurred_at);
