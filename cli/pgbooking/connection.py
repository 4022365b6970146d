"""Connecting: by DATABASE_URL, as application "pgbooking", with the clock that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources

import psycopg
from psycopg import conninfo

from pgbooking.errors import EXIT_NOT_CONNECTED, EXIT_USAGE, Problem

APPLICATION_NAME = "pgbooking"


@contextmanager
def connected(
    database_url: str | None, *, now: datetime | None = None
) -> Iterator[psycopg.Connection]:
    """An autocommit connection that is closed at the end; `now` sets the fake clock.

    Raises Problem (exit code 3) where the database cannot be reached and (exit code 2) where
    there is no address or the session may not set the clock.
    """
    connection = connect(database_url)
    with connection:
        if now is not None:
            set_clock(connection, now)
        yield connection


def connect(database_url: str | None, setting: str = "DATABASE_URL") -> psycopg.Connection:
    """An autocommit connection. Errors never repeat the address: it may hold a password.

    They name the `setting` that it comes from.

    Nothing may be kept in its session from one transaction to the next: through a pooler in
    transaction mode, that may be another session. What cannot do without calls require_session.
    """
    address = checked_url(database_url, setting)
    try:
        return psycopg.connect(
            address,
            autocommit=True,
            application_name=APPLICATION_NAME,
            prepare_threshold=None,
        )
    except psycopg.OperationalError as error:
        raise Problem(
            f"Could not connect to the database: {_reason(error)}",
            f"Is the server up, and does {setting} name it?",
            EXIT_NOT_CONNECTED,
        ) from None


def checked_url(database_url: str | None, setting: str = "DATABASE_URL") -> str:
    """The address, if there is one and libpq can read it."""
    if not database_url:
        raise Problem(
            f"No database: {setting} is not set.",
            f"export {setting}=postgresql://user@host/database",
            EXIT_USAGE,
        )
    try:
        host = str(conninfo.conninfo_to_dict(database_url).get("host", ""))
    except psycopg.ProgrammingError:
        host = "@"
    # After an @ in a password comes what is left of it, and libpq would tell that as the host.
    if "@" in host:
        raise Problem(
            f"{setting} is not an address that PostgreSQL understands.",
            "Expected: postgresql://user:password@host:port/database, with %40 for an @ in it",
            EXIT_USAGE,
        )
    return database_url


def require_session(connection: psycopg.Connection, what: str) -> None:
    """Raise Problem (exit code 2) where a pooler stands between: `what` would not be kept there.

    A server tells its process's number to whom it lets in; poolers tell one that they make up.
    """
    row = connection.execute("select pg_catalog.pg_backend_pid()").fetchone()
    if row != (connection.info.backend_pid,):
        raise Problem(
            f"{what} needs a session of its own, and DATABASE_URL leads through a pooler.",
            "Let DATABASE_URL name the PostgreSQL server itself.",
            EXIT_USAGE,
        )


def set_clock(connection: psycopg.Connection, now: datetime) -> None:
    """Make `booking.now()` answer `now` in this session (a time without an offset is UTC).

    The database listens to it only where the session's login role is a superuser.
    """
    require_session(connection, "--now")
    row = connection.execute(
        "select rolname, rolsuper from pg_catalog.pg_roles where rolname = session_user"
    ).fetchone()
    if row is None or not row[1]:
        raise Problem(
            f"--now works only for a superuser, which {row and row[0]} is not.",
            "The fake clock is for tests and demonstrations. Leave --now out.",
            EXIT_USAGE,
        )
    instant = now if now.tzinfo else now.replace(tzinfo=UTC)
    connection.execute("select set_config('booking.fake_now', %s, false)", [instant.isoformat()])


def _reason(error: psycopg.OperationalError) -> str:
    """libpq's last line: with several addresses tried, the one that failed last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"


def query(name: str) -> bytes:
    """The text of queries/<name>.sql."""
    return resources.files("pgbooking").joinpath("queries", f"{name}.sql").read_bytes()
