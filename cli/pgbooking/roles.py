"""The roles that a dump of a database does not hold, because they belong to the whole cluster."""

from __future__ import annotations

from pgbooking.sources import migrations_folder

HEADER = """\
-- The roles that pgbooking needs, each made only where it is missing, and the right of whoever runs
-- this to act as booking_owner. Before a restore, as the role that restores:
--
--   pgbooking sql --roles | psql -v ON_ERROR_STOP=1 "$DATABASE_URL"
--
-- Not in here: the role that migrates, whose name is yours; passwords and time limits of requests,
-- which deploy/logins.sql sets.

"""


def roles_sql() -> str:
    """What 0001 does before it makes the schemas: its first statement. It can be run repeatedly."""
    text = (migrations_folder() / "0001.roles_and_schemas.sql").read_text()
    begin, end = "do $$\n", "\n$$;\n"
    first = text.index(begin)
    return HEADER + text[first : text.index(end, first)] + end
