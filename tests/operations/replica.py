"""A server and its streaming replica, both of the test's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.faults.conftest import MortalServer, mortal_server_in_a_folder

Session = psycopg.Connection[Any]


@dataclass(frozen=True)
class Pair:
    """The servers, and the database that both show."""

    primary: MortalServer
    replica: MortalServer
    database: str

    @property
    def primary_url(self) -> str:
        """The database where it is written."""
        return make_conninfo(self.primary.url, dbname=self.database)

    @property
    def replica_url(self) -> str:
        """The database where it is only read."""
        return make_conninfo(self.replica.url, dbname=self.database)

    def catch_up(self) -> None:
        """Wait until the replica shows everything that has been committed."""
        with psycopg.connect(self.primary.url) as primary:
            [(end,)] = primary.execute("select pg_catalog.pg_current_wal_insert_lsn()").fetchall()
        deadline = time.monotonic() + 30
        with psycopg.connect(self.replica.url, autocommit=True) as replica:
            while True:
                [(replayed, is_there)] = replica.execute(
                    "select pg_catalog.pg_last_wal_replay_lsn(),"
                    " pg_catalog.pg_last_wal_replay_lsn() >= %s::pg_lsn",
                    (end,),
                ).fetchall()
                if is_there:
                    return
                assert time.monotonic() < deadline, f"replayed until {replayed}, not {end}"
                time.sleep(0.01)

    @contextmanager
    def lagging(self) -> Iterator[None]:
        """While in here the replica shows what it shows now."""
        self.catch_up()
        with psycopg.connect(self.replica.url, autocommit=True) as replica:
            replica.execute("select pg_catalog.pg_wal_replay_pause()")
            while replica.execute(
                "select pg_catalog.pg_get_wal_replay_pause_state()"
            ).fetchone() != ("paused",):
                time.sleep(0.01)
            try:
                yield
            finally:
                replica.execute("select pg_catalog.pg_wal_replay_resume()")
        self.catch_up()


@contextmanager
def replica_of(primary: MortalServer, configuration: str = "") -> Iterator[MortalServer]:
    """Copy the running server and follow it over its socket, with those lines in the copy's
    postgresql.conf."""
    with mortal_server_in_a_folder(primary.binaries, primary.owner) as replica:
        subprocess.run(
            [
                *(primary.binaries / "pg_basebackup", "--pgdata", replica.folder / "data"),
                *("--dbname", primary.url, "--checkpoint=fast", "--no-sync"),
                "--write-recovery-conf",
            ],
            check=True,
            user=primary.owner,
            cwd=replica.folder,
        )
        replica.configure(configuration)
        replica.start()
        yield replica
