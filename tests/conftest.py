"""Fixtures on real PostgreSQL: a template database, cloned for each test.

PGBOOKING_TEST_SERVER   15 (the default where it is installed), 16, 17, 18: the system's package of
                        that version; embedded (18), a URL
PGBOOKING_NO_SKIPS=1    a skipped test fails, unless what it needs cannot be had on that server
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import psycopg
import pytest

from tests import postgres
from tests.left_out import (
    NO_EXTENSION,
    NO_NODE,
    NO_POSTGREST,
    NO_SHELL_TOOLS,
    NO_SYSTEMD,
)
from tests.postgres import Server
from tests.salon import salon, salon_template, shared_salon

__all__ = ["salon", "salon_template", "shared_salon"]

SERVER = pytest.StashKey[Server]()
SKIPS = pytest.StashKey[list[str]]()

Connect = Callable[[], psycopg.Connection]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The server of this run, with its template database."""
    return started_server(request.config)


@pytest.fixture
def database_url(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of this test's own: empty, or with a salon if the test asks for one."""
    template = server.template
    if "salon" in request.fixturenames:
        template, _ = request.getfixturevalue("salon_template")
    with server.database(template) as url:
        yield url


@pytest.fixture
def connect(database_url: str) -> Iterator[Connect]:
    """Opens further superuser sessions (autocommit) in the test's database."""
    with contextlib.ExitStack() as sessions:
        yield lambda: sessions.enter_context(psycopg.connect(database_url, autocommit=True))


@pytest.fixture
def db(connect: Connect) -> psycopg.Connection:
    """A superuser session (autocommit) in the test's database."""
    return connect()


@pytest.fixture
def wait_until_blocked(connect: Connect) -> Callable[[int], None]:
    """Waits until the backend of that pid waits for a lock, and fails where it does not."""
    observer = connect()
    return lambda pid: postgres.wait_until_blocked(observer, pid)


@pytest.fixture(scope="module")
def module_database_url(server: Server) -> Iterator[str]:
    """A migrated database that the tests of one module share."""
    with server.database(server.template) as url:
        yield url


@pytest.fixture
def module_db(module_database_url: str) -> Iterator[psycopg.Connection]:
    """A superuser session in the module's database, in a transaction that is rolled back."""
    with psycopg.connect(module_database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """A database in which pgbooking has never been."""
    with server.database() as url:
        yield url


@pytest.fixture
def fresh_server(server: Server) -> Iterator[Server]:
    """A second server of the same kind, on which pgbooking has never been."""
    if server.kind == "url":
        pytest.skip("needs a server that it can start itself")
    with postgres.running_server(server.kind) as another:
        yield another


@pytest.fixture(scope="session")
def need_extension(server: Server) -> Callable[[str], None]:
    """Skips the test where the server cannot have that extension."""
    with psycopg.connect(server.url) as connection:
        rows = connection.execute("select name from pg_catalog.pg_available_extensions").fetchall()
    available = {row[0] for row in rows}

    def need(extension: str) -> None:
        if extension not in available:
            pytest.skip(f"{NO_EXTENSION} {extension}")

    return need


def pytest_configure() -> None:
    """Stop servers also when this run is ended by SIGTERM, and let commands be interrupted.

    A shell starts background jobs with SIGINT ignored, which every process below would inherit.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Starting the server: once for a run. Under pytest-xdist the controller does it for its workers.


def started_server(config: pytest.Config) -> Server:
    """The server of this run, started when it is first asked for."""
    if SERVER not in config.stash:
        handed_over = getattr(config, "workerinput", {}).get("pgbooking_server")
        if handed_over:
            config.stash[SERVER] = Server(**handed_over)
            config.add_cleanup(config.stash[SERVER].close)
        else:
            running = contextlib.ExitStack()
            config.add_cleanup(running.close)
            config.stash[SERVER] = running.enter_context(postgres.running_server())
            running.enter_context(postgres.template_database(config.stash[SERVER]))
    return config.stash[SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called in the xdist controller for each worker."""
    node.workerinput["pgbooking_server"] = started_server(node.config).handed_over()


# Skips: a test that this machine could run and did not is a hole in the proof.

# What `make test` cannot install.
NOT_TO_BE_HAD = (NO_NODE, NO_POSTGREST, NO_SHELL_TOOLS, NO_SYSTEMD)


def may_skip(reason: str) -> bool:
    """The system's PostgreSQL has packages of every extension; other servers may lack some."""
    return any(missing in reason for missing in NOT_TO_BE_HAD) or (
        NO_EXTENSION in reason and not postgres.is_major(postgres.chosen())
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With PGBOOKING_NO_SKIPS=1 a skip that may not be is a failure."""
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report into a failure where its skip may not be."""
    if report.skipped and os.environ.get("PGBOOKING_NO_SKIPS"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not may_skip(reason):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped, and this machine can run it: {reason}"


def pytest_report_header() -> str:
    """Which server this run is on."""
    return f"PostgreSQL: {postgres.chosen()}"
