"""The PostgreSQL servers that the tests run on, and databases on them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pgbooking import migrate
from pgbooking.server import binaries, embedded_server

POSTGRES_15 = [
    Path("/usr/lib/postgresql/15/bin"),
    Path("/usr/pgsql-15/bin"),
    Path("/opt/homebrew/opt/postgresql@15/bin"),
    Path("/usr/local/opt/postgresql@15/bin"),
]

# Data of a test need not survive a crash. The odd time zone finds what hangs on the session's zone.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "Pacific/Chatham",
}


@dataclass(frozen=True)
class Server:
    """A running server: `url` names its database "postgres", as superuser."""

    kind: str
    url: str
    binaries: str
    template: str = "pgbooking_template"
    _numbers: Iterator[int] = field(default_factory=count, repr=False, compare=False)

    def handed_over(self) -> dict[str, str]:
        """What another process needs to use this server."""
        return {"kind": self.kind, "url": self.url, "binaries": self.binaries}

    def url_of(self, database: str) -> str:
        """The address of another database of this server."""
        return make_conninfo(self.url, dbname=database)

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """A new database, dropped at the end: a clone of `template`, or empty. Yields its URL."""
        name = f"pgbooking_test_{os.getpid()}_{next(self._numbers)}"
        source = f"template {template} strategy file_copy" if template else ""
        self.administer(f"create database {name} {source}")
        try:
            yield self.url_of(name)
        finally:
            self.administer(f"drop database {name} with (force)")

    def administer(self, statement: str) -> None:
        """Run a statement that must stand outside a transaction, in the database "postgres"."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def dump(self, database_url: str, *options: str) -> str:
        """The schema of a database, by this server's own version of pg_dump."""
        command = [f"{self.binaries}/pg_dump", "--schema-only", *options, database_url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def running_server(choice: str | None = None) -> Iterator[Server]:
    """Start the server of that name: "15", "embedded", or the URL of one that is running."""
    choice = choice or os.environ.get("PGBOOKING_TEST_SERVER") or default_choice()
    if choice == "15":
        with _system_server() as server:
            yield server
    elif choice == "embedded":
        with embedded_server() as url:
            server = Server(choice, url, str(binaries()))
            for setting, value in SETTINGS.items():
                server.administer(f"alter system set {setting} = '{value}'")
            server.administer("select pg_reload_conf()")
            yield server
    else:
        pg_dump = shutil.which("pg_dump")
        assert pg_dump, "the tests need pg_dump"
        yield Server("url", choice, str(Path(pg_dump).parent))


def default_choice() -> str:
    """PostgreSQL 15 where it is installed, else the embedded 18."""
    return "15" if _binaries_of_15() else "embedded"


@contextlib.contextmanager
def template_database(server: Server) -> Iterator[None]:
    """The database that each test's own is a clone of: migrated by our own `migrate`."""
    server.administer(f"drop database if exists {server.template} with (force)")
    server.administer(f"create database {server.template}")
    try:
        for _ in migrate.apply(server.url_of(server.template)):
            pass
        yield
    finally:
        server.administer(f"drop database {server.template} with (force)")


def wait_until_blocked(observer: psycopg.Connection, pid: int, seconds: float = 10) -> None:
    """Return when the backend `pid` waits for a lock; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    waits_for = "select wait_event_type, state from pg_catalog.pg_stat_activity where pid = %s"
    row = None
    while time.monotonic() < deadline:
        row = observer.execute(waits_for, [pid]).fetchone()
        if row and row[0] == "Lock":
            return
        time.sleep(0.005)
    raise AssertionError(f"backend {pid} does not wait for a lock: {row}")


@contextlib.contextmanager
def _system_server() -> Iterator[Server]:
    binaries_of_15 = _binaries_of_15()
    assert binaries_of_15, "PostgreSQL 15 is not installed"
    folder = Path(tempfile.mkdtemp(prefix="pgbooking-test-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        # initdb and postgres refuse to run as root.
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    settings = SETTINGS | {
        "listen_addresses": "''",
        "unix_socket_directories": str(folder),
        "max_connections": "200",
    }
    if any(binaries_of_15.parent.glob("lib/pg_cron.so")):
        settings["shared_preload_libraries"] = "pg_cron"
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries_of_15 / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=utf8", "--no-sync")
    run("pg_ctl", "--wait", f"--log={folder / 'log'}", f"--options={options}", "start")
    try:
        url = f"postgresql://postgres@/postgres?host={folder}"
        yield Server("15", url, str(binaries_of_15))
    finally:
        run("pg_ctl", "--wait", "--mode=immediate", "stop")
        shutil.rmtree(folder)


def _binaries_of_15() -> Path | None:
    return next((folder for folder in POSTGRES_15 if (folder / "initdb").exists()), None)
