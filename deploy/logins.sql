-- After `pgbooking migrate`, as the role that migrates: what migrations leave to the installation.
--
--   AUTHENTICATOR_PASSWORD=… psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/logins.sql

-- PostgREST's login.
\getenv password AUTHENTICATOR_PASSWORD
alter role authenticator password :'password';

-- How long a request may take, as on Supabase.
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
