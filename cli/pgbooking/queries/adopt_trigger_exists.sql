select exists (
  select from pg_catalog.pg_trigger t
  where t.tgrelid = to_regclass(%(relation)s) and t.tgname = %(name)s and not t.tgisinternal
)
