-- Who calls, for the rest of the transaction, as PostgREST says it.
select
  set_config('role', %(role)s, true),
  set_config('request.jwt.claims', json_build_object('role', %(role)s::text)::text, true)
