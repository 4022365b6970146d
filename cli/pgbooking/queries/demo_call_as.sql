-- Who calls, and from which address, for the rest of the transaction, as PostgREST says it.
select
  set_config('role', %(role)s, true),
  set_config('request.jwt.claims', json_build_object('role', %(role)s::text)::text, true),
  set_config(
    'request.headers', json_build_object('x-forwarded-for', %(address)s::text)::text, true
  )
