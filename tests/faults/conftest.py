"""A server that may be killed: its data survive that, unlike those of the other tests' servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Server

# What PostgreSQL does by default, said here because a test of durability hangs on it.
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": "",
    "timezone": "Pacific/Chatham",
}


@dataclass
class MortalServer:
    """A server whose processes are children of this one, so that they can be killed and reaped."""

    binaries: Path
    folder: Path
    owner: int | None
    postmaster: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its database "postgres", as superuser."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def create(self) -> None:
        """Make the data folder. Checksums tell a page that was written by half."""
        options = ["--auth=trust", "--username=postgres", "--encoding=utf8", "--data-checksums"]
        subprocess.run(
            [self.binaries / "initdb", "-D", self.folder / "data", "--no-sync", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.owner,
            cwd=self.folder,
        )

    def start(self) -> float:
        """Start, recover, and wait for the first session; returns how many seconds that took."""
        began = time.monotonic()
        settings = SETTINGS | {"unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.postmaster = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *options],
                stdout=log,
                stderr=log,
                user=self.owner,
                cwd=self.folder,
                # A Ctrl-C is for the test, which then stops the server.
                start_new_session=True,
            )
        while time.monotonic() < began + 60:
            assert self.postmaster.poll() is None, (self.folder / "log").read_text()
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return time.monotonic() - began
        raise AssertionError("the server does not come up")

    def kill(self) -> None:
        """kill -9 of the postmaster and of every process of its, at once."""
        assert self.postmaster
        with contextlib.closing(psycopg.connect(self.url)) as observer:
            # Nothing new is forked while the others are listed.
            self.postmaster.send_signal(signal.SIGSTOP)
            rows = observer.execute("select pid from pg_catalog.pg_stat_activity").fetchall()
            for pid in (self.postmaster.pid, *(row[0] for row in rows)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.postmaster.wait()

    def stop(self) -> None:
        """An immediate shutdown, where it runs."""
        if self.postmaster and self.postmaster.poll() is None:
            self.postmaster.send_signal(signal.SIGQUIT)
            self.postmaster.wait()


@pytest.fixture
def mortal_server(server: Server) -> Iterator[MortalServer]:
    """A running server of the test's own, of the kind that the run is on."""
    with running_mortal_server(server) as mortal:
        yield mortal


@contextlib.contextmanager
def running_mortal_server(server: Server, configuration: str = "") -> Iterator[MortalServer]:
    """A new server of that kind, with those lines in its postgresql.conf."""
    if server.kind == "url":
        pytest.skip("needs a server that it can start itself")
    with psycopg.connect(server.url) as connection:
        [(data,)] = connection.execute("show data_directory").fetchall()
    # PostgreSQL refuses to run as root; whoever runs the other server can run this one.
    owner = Path(data).stat().st_uid if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pgbooking-test-"))
    if owner is not None:
        os.chown(folder, owner, -1)
    mortal = MortalServer(Path(server.binaries), folder, owner)
    try:
        mortal.create()
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(configuration)
        mortal.start()
        yield mortal
    finally:
        mortal.stop()
        shutil.rmtree(folder)
