-- How many sessions ordinary roles can have at once.
select current_setting('max_connections')::int
  - current_setting('superuser_reserved_connections')::int
