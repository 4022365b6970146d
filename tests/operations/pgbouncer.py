"""PgBouncer in transaction mode, in front of a server of the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_port = 6432
unix_socket_dir = {folder}
pool_mode = transaction
default_pool_size = {pool_size}
server_lifetime = {server_lifetime}
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
"""


def binary() -> str | None:
    """The path of pgbouncer, None where it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextlib.contextmanager
def running_pgbouncer(
    database_url: str, pool_size: int = 4, *, each_session_once: bool = False
) -> Iterator[str]:
    """Start one and yield the address of the same database through it.

    It keeps `pool_size` sessions; with `each_session_once` every transaction gets a new one.
    """
    server = conninfo_to_dict(database_url)
    host = str(server["host"])
    folder = Path(tempfile.mkdtemp(prefix="pgbooking-test-"))
    # It refuses to run as root. Whoever owns the server's socket can reach it.
    owner = Path(host).stat().st_uid if os.geteuid() == 0 and host.startswith("/") else None
    if owner is not None:
        os.chown(folder, owner, -1)
    (folder / "users").write_text(f'"{server["user"]}" ""\n')
    configuration = CONFIGURATION.format(
        host=host,
        port=server.get("port", 5432),
        folder=folder,
        pool_size=pool_size,
        server_lifetime=0 if each_session_once else 3600,
    )
    (folder / "pgbouncer.ini").write_text(configuration)
    program = binary()
    assert program
    process = subprocess.Popen(
        [program, "--quiet", str(folder / "pgbouncer.ini")], user=owner, cwd=folder
    )
    try:
        url = make_conninfo(database_url, host=str(folder), port=6432)
        _wait_until_it_answers(url, process, folder / "log")
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            said = log.read_text() if log.exists() else ""
            assert process.poll() is None, said
            assert time.monotonic() < deadline, f"{error}\n{said}"
            time.sleep(0.02)
        else:
            return
