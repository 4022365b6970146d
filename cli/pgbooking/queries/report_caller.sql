-- For the rest of the transaction: the service, which may read every tenant's figures.
select set_config('request.jwt.claims', '{"role": "service_role"}', true)
