-- One import at a time of a person's calendar, or of a place's holidays, without touching it: rows
-- that change lock theirs as always.
select pg_catalog.pg_advisory_xact_lock(
  pg_catalog.hashtextextended(%(tenant_id)s::text || '/' || %(scope)s, 0)
)
