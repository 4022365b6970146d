"""Why tests are left out where something is not to be had: the reasons that the report shows."""

from __future__ import annotations

NO_EXTENSION = "this server has no extension"
NO_NGINX = "this machine has no nginx"
NO_NODE = "there is no npm on this machine"
NO_PGBOUNCER = "pgbouncer is not installed"
NO_POSTGREST = "there is no PostgREST (POSTGREST_BIN, POSTGREST_URL) on this machine"
NO_SHELL_TOOLS = "bash, curl, jq or openssl is not installed"
NO_SYSTEMD = "systemd-analyze is not installed"
