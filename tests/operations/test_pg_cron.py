"""pg_cron really runs the jobs, on servers of the test's own: by logging in, and by its workers.

It looks for work once a minute, so the test waits: for all jobs, and once more to see it go on
after a run was killed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgbooking import jobs
from pgbooking.connection import connected
from tests import postgres
from tests.operations.cron_server import cron_server
from tests.operations.job_work import (
    JOBS,
    differences,
    give_each_job_something_to_do,
    hold_up,
    job_locks,
    queue,
    runs,
    terminate,
    undone,
)
from tests.postgres import Server
from tests.salon import Salon, make_salon

Session = psycopg.Connection[Any]

DRAIN = "drain_refresh_queue"
LONGEST_WAIT_SECONDS = 90


@dataclass
class Shop:
    """A database whose jobs pg_cron runs every minute, as a role of the same name."""

    server: Server
    name: str
    db: Session
    salon: Salon

    def install(self) -> list[str]:
        """The jobs that were scheduled."""
        url = make_conninfo(self.server.url_of(self.name), user=self.name)
        with connected(url) as connection:
            return jobs.install(connection, self.server.url).scheduled

    def queue_length(self) -> int:
        """How many calendars wait."""
        [(number,)] = self.db.execute("select count(*) from booking.refresh_queue").fetchall()
        return int(number)

    def blocked_run(self) -> int | None:
        """The pid of a run that waits for a lock."""
        row = self.db.execute(
            "select pid from pg_catalog.pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock' and usename = %s",
            (self.name,),
        ).fetchone()
        return row and int(row[0])

    def is_quiet(self) -> bool:
        """No run is under way."""
        return job_locks(self.db) == 0

    def is_done(self) -> bool:
        """All six jobs did what there was to do."""
        return undone(self.db) == []

    def has_run_again(self) -> bool:
        """The job whose run was killed has had another one."""
        return len(runs(self.db).get(DRAIN, [])) > 1


@contextlib.contextmanager
def shop(server: Server, name: str) -> Iterator[Shop]:
    """A salon in a database of its own. The role is no superuser, as it should be."""
    server.administer(f"create database {name} template {server.template}")
    with psycopg.connect(server.url_of(name), autocommit=True) as db:
        db.execute(f"create role {name} login in role booking_owner".encode())
        db.execute("update booking.jobs set schedule = '* * * * *'")
        yield Shop(server, name, db, make_salon(db))


def wait_until(is_so: Callable[[], Any]) -> Any:
    """Look again and again until it is so; fail where that takes too long."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < deadline:
        if value := is_so():
            return value
        time.sleep(0.02)
    raise AssertionError(f"after {LONGEST_WAIT_SECONDS} s it is not so: {is_so.__doc__}")


@pytest.fixture
def servers(server: Server) -> Iterator[list[Server]]:
    """One that pg_cron logs in to, and one where it has background workers."""
    with (
        cron_server(server.kind) as logged_in_to,
        cron_server(server.kind, uses_workers=True) as with_workers,
        postgres.template_database(logged_in_to),
        postgres.template_database(with_workers),
    ):
        yield [logged_in_to, with_workers]


def test_pg_cron_runs_every_job_and_goes_on_after_a_run_was_killed(servers: list[Server]) -> None:
    with contextlib.ExitStack() as opened:
        busy = [opened.enter_context(shop(server, "busy")) for server in servers]
        for each in busy:
            give_each_job_something_to_do(each.salon)
            assert set(undone(each.db)) == JOBS

        # A job that can do one step, and has to wait for the test at the next.
        stuck = [opened.enter_context(shop(server, "stuck")) for server in servers]
        lockers = []
        for each in stuck:
            ben = each.salon.add_person("Ben")
            queue(each.salon, each.salon.person)
            queue(each.salon, ben)
            each.db.execute(
                "update booking.refresh_queue set queued_at = queued_at + interval '1 minute'"
                " where staff_id = %s",
                (ben,),
            )
            each.db.execute("update booking.jobs set is_enabled = name = %s", (DRAIN,))
            locker = opened.enter_context(psycopg.connect(each.db.info.dsn, autocommit=True))
            hold_up(locker, ben)
            lockers.append(locker)

        assert [set(each.install()) for each in busy] == [JOBS, JOBS]
        assert [each.install() for each in stuck] == [[DRAIN], [DRAIN]]

        # Both within the five seconds that a step waits for a lock.
        for each in stuck:
            terminate(each.db, wait_until(each.blocked_run))

        for each in busy:
            wait_until(each.is_done)
            wait_until(each.is_quiet)
            for name in JOBS:
                assert (1, None) in runs(each.db)[name]
                assert set(runs(each.db)[name]) <= {(1, None), (0, None)}
            assert differences(each.salon) == []

        for each, locker in zip(stuck, lockers, strict=True):
            assert runs(each.db) == {}
            assert each.is_quiet()
            assert each.queue_length() == 1
            assert differences(each.salon) == []
            locker.rollback()
        for each in stuck:
            wait_until(each.has_run_again)
            wait_until(each.is_quiet)
            assert runs(each.db)[DRAIN] == [(1, "interrupted"), (1, None)]
            assert each.queue_length() == 0
            assert differences(each.salon) == []
