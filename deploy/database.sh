#!/bin/bash
# Runs PostgreSQL. On an empty volume first makes the cluster, with database and role "pgbooking": the
# role migrates, without being superuser. The superuser can be reached only from inside the container
# (psql pgbooking). PGBOOKING_PASSWORD counts on the first start; later: alter role pgbooking password.
set -euo pipefail

make_cluster() {
  : "${PGBOOKING_PASSWORD:?is the password of the role pgbooking}"
  # Under another name until it is complete: a start that was interrupted begins anew.
  local cluster=$PGDATA.new
  rm -rf "$cluster"
  initdb --pgdata="$cluster" --auth-local=peer --auth-host=scram-sha-256 --data-checksums \
    --encoding=utf8 --locale-provider=builtin --locale=C.UTF-8 \
    --set=listen_addresses='*' \
    --set=shared_preload_libraries=pg_cron \
    --set=cron.database_name=pgbooking \
    --set=cron.use_background_workers=on \
    --set=max_worker_processes=20
  echo 'host pgbooking pgbooking,authenticator all scram-sha-256' >> "$cluster/pg_hba.conf"

  # pg_cron looks for its database as soon as the server runs.
  postgres --single -D "$cluster" postgres <<< 'create database pgbooking' > /dev/null
  pg_ctl --pgdata="$cluster" --wait --options="-c listen_addresses=''" start
  psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 pgbooking <<'END'
\getenv password PGBOOKING_PASSWORD
create role pgbooking login createrole password :'password';
alter database pgbooking owner to pgbooking;
create extension pg_cron;
grant usage on schema cron to pgbooking;
END
  pg_ctl --pgdata="$cluster" --wait stop
  mv "$cluster" "$PGDATA"
}

[ -e "$PGDATA" ] || make_cluster
exec postgres
