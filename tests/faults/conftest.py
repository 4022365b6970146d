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
        self._launch()
        while time.monotonic() < began + 60:
            assert self.postmaster
            if self.postmaster.poll() is not None:
                # A killed process may take a moment to go, and its memory with it.
                log = (self.folder / "log").read_text()
                assert " is still in use\n" in "\n".join(log.splitlines()[-4:]), log
                time.sleep(0.1)
                self._launch()
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return time.monotonic() - began
        raise AssertionError("the server does not come up")

    def _launch(self) -> None:
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

    def kill_and_start(self) -> float:
        """And so recover; returns how many seconds that took."""
        self.kill()
        return self.start()

    def configure(self, lines: str) -> None:
        """Add those lines to its postgresql.conf."""
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(lines)

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
    with mortal_server_in_a_folder(Path(server.binaries), owner) as mortal:
        mortal.create()
        mortal.configure(configuration)
        mortal.start()
        yield mortal


@contextlib.contextmanager
def mortal_server_in_a_folder(binaries: Path, owner: int | None) -> Iterator[MortalServer]:
    """A server yet to be made, in a new folder of its owner's; stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pgbooking-test-"))
    if owner is not None:
        os.chown(folder, owner, -1)
    mortal = MortalServer(binaries, folder, owner)
    try:
        yield mortal
    finally:
        mortal.stop()
        shutil.rmtree(folder)
