"""A real PostgREST in front of a database of ours.

POSTGREST_BIN   the program (default: `postgrest` on the PATH); each run starts and stops its own
POSTGREST_URL   one that is running before a database for tests, whose settings they change; with
                POSTGREST_DATABASE_URL, a superuser's address of it, and POSTGREST_JWT_SECRET
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from tests.clients.node import libpq_variables

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "postgrest.conf"
PASSWORD = "only-for-tests"  # noqa: S105
SECRET = "only-for-tests-0123456789-0123456789"  # noqa: S105


@dataclass(frozen=True)
class PostgREST:
    """A running PostgREST: its address, its database as a superuser sees it, its JWT secret."""

    url: str
    database_url: str
    secret: str


def program() -> str | None:
    """Where PostgREST is, or None."""
    return os.environ.get("POSTGREST_BIN") or shutil.which("postgrest")


def running() -> PostgREST | None:
    """The PostgREST that somebody else has started for us, or None."""
    url = os.environ.get("POSTGREST_URL")
    if not url:
        return None
    return PostgREST(url, os.environ["POSTGREST_DATABASE_URL"], os.environ["POSTGREST_JWT_SECRET"])


@contextlib.contextmanager
def started(database_url: str) -> Iterator[PostgREST]:
    """Start PostgREST as deploy/postgrest.conf says, on free ports of the loopback interface."""
    set_password(database_url)
    port, admin_port = free_ports()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PGRST_", "PG")) or name.startswith("PGBOOKING_")
    }
    environment |= libpq_variables(database_url) | {
        "PGUSER": "authenticator",
        "PGPASSWORD": PASSWORD,
        "PGRST_JWT_SECRET": SECRET,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_ADMIN_SERVER_HOST": "127.0.0.1",
        "PGRST_ADMIN_SERVER_PORT": str(admin_port),
        "PGRST_DB_POOL": "5",
    }
    binary = program()
    assert binary
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [binary, str(CONFIGURATION)], env=environment, stdout=log, stderr=log
        )
        try:
            if not is_ready(process, f"http://127.0.0.1:{admin_port}/ready"):
                log.seek(0)
                raise AssertionError(f"PostgREST does not get ready: {log.read().decode()}")
            yield PostgREST(f"http://127.0.0.1:{port}", database_url, SECRET)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def set_password(database_url: str) -> None:
    """Let PostgREST log in. Two workers at once would fail, for a role is one row of the cluster;
    advisory locks are a database's own."""
    with psycopg.connect(make_conninfo(database_url, dbname="postgres")) as session:
        session.execute("select pg_advisory_xact_lock(hashtext('authenticator'))")
        session.execute(f"alter role authenticator login password '{PASSWORD}'")


def free_ports() -> list[int]:
    """Two ports that nothing listens on."""
    with contextlib.ExitStack() as sockets:
        bound = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        return [each.getsockname()[1] for each in bound]


def is_ready(process: subprocess.Popen[bytes], url: str, seconds: float = 30) -> bool:
    """Wait until PostgREST has read the schema; False where it ends before, or takes too long."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return True
        time.sleep(0.05)
    return False
