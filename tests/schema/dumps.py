"""Schemas as pg_dump prints them, without what means nothing and differs from run to run."""

from __future__ import annotations

import psycopg

from pgbooking.sources import sql_files
from tests.postgres import Server

MEANINGLESS = ("--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict")
GRANTS = ("GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES ")


def normalised_dump(server: Server, database_url: str) -> list[str]:
    """Lines of the dump, privileges, comments and policies included; privileges in one order."""
    dump = server.dump(database_url, "--exclude-schema=booking_migrations")
    lines = [line for line in dump.splitlines() if line and not line.startswith(MEANINGLESS)]
    grants = sorted(line for line in lines if line.startswith(GRANTS))
    return [line for line in lines if not line.startswith(GRANTS)] + grants


def apply_sql_folder(database_url: str) -> None:
    """Run every file of sql/ in its order, as the owner, the way the engine migration does."""
    with psycopg.connect(database_url) as connection:
        connection.execute("set local role booking_owner")
        connection.execute("set local check_function_bodies = off")
        for file in sql_files():
            connection.execute(file.read_bytes())
