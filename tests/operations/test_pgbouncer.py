"""Everything works through PgBouncer in transaction mode, which gives each transaction any session
of its pool; and what cannot is refused."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from pgbooking import app, verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.api import Api, customer
from tests.left_out import NO_PGBOUNCER
from tests.load import Client, Load, make_shop
from tests.operations import pgbouncer
from tests.operations.pgbouncer import running_pgbouncer
from tests.postgres import Server, wait_until_blocked
from tests.rls.acting import acting_as

Session = psycopg.Connection[Any]
Pooled = Callable[[], Session]
Run = Callable[..., str]

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
POOL_SIZE = 4

# What PgBouncer itself sets, to what the client has asked for when it connected.
SET_BY_THE_POOLER = {
    "application_name",
    "client_encoding",
    "DateStyle",
    "standard_conforming_strings",
    "TimeZone",
}


@pytest.fixture(autouse=True)
def _installed(server: Server) -> None:
    if pgbouncer.binary() is None:
        pytest.skip(NO_PGBOUNCER)


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    """The test's database, through a pool of POOL_SIZE sessions."""
    with running_pgbouncer(database_url, POOL_SIZE) as url:
        yield url


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Pooled]:
    """Opens clients (autocommit) of that pool."""
    with ExitStack() as clients:
        yield lambda: clients.enter_context(
            psycopg.connect(pooled_url, autocommit=True, prepare_threshold=None)
        )


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the database of that address, which must end with that exit code; returns
    what it printed."""

    def run_command(url: str, *arguments: object, code: int = 0) -> str:
        monkeypatch.setenv("DATABASE_URL", url)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app.main([str(each) for each in arguments])
        printed = capsys.readouterr()
        assert stop.value.code == code, f"{arguments}: {printed.out}{printed.err}"
        return printed.out + printed.err

    return run_command


# The command line.


def every_command(run: Run, url: str) -> None:
    """From an empty database to none."""
    import_hours = ("import", "hours", EXAMPLES / "salon-hours.csv", "--map")
    import_appointments = ("import", "appointments", EXAMPLES / "salon-bookings.csv", "--map")
    assert "pending" in run(url, "status", code=1)
    assert "0001.roles_and_schemas" in run(url, "migrate", "--dry-run")
    assert "applied 0001.roles_and_schemas" in run(url, "migrate")
    assert "Nothing to do" in run(url, "migrate")
    run(url, "status")
    run(url, "seed", "--staff", 2, "--appointments-per-staff", 5)
    run(url, *import_hours, EXAMPLES / "salon.toml")
    # Two of its rows are rejected on purpose.
    assert "7 loaded" in run(url, *import_appointments, EXAMPLES / "salon.toml", code=1)
    assert "calendars refreshed" in run(url, "backfill")
    assert "no differences" in run(url, "verify", "--independent", "--repair")
    # There is no work at midnight.
    midnight = ("--at", "2030-01-01T00:00+01:00")
    assert "cannot" in run(
        url, "explain", "--tenant", "salon", "--staff", "ANNA", *midnight, code=1
    )
    events = run(url, "events", "tail", "--peek", "--limit", 3)
    assert run(url, "events", "tail", "--limit", 3) == events
    assert run(url, "events", "tail") == ""
    assert "cleanup" in run(url, "jobs", "list")
    run(url, "jobs", "run", "cleanup_expired_slot_reservations")
    assert "rolled back 0001.roles_and_schemas" in run(url, "rollback", "--all", "--yes")


def test_every_command_works_though_each_transaction_has_another_session(
    run: Run, empty_database_url: str
) -> None:
    with running_pgbouncer(empty_database_url, each_session_once=True) as url:
        every_command(run, url)


def test_no_command_leaves_anything_behind_in_the_session_that_others_get(
    run: Run, empty_database_url: str
) -> None:
    with running_pgbouncer(empty_database_url, pool_size=1) as url:
        every_command(run, url)
        with psycopg.connect(url, prepare_threshold=None) as next_client:
            rows = next_client.execute(
                "select 'setting ' || name from pg_catalog.pg_settings where source = 'session'"
                " union all"
                " select 'statement ' || name from pg_catalog.pg_prepared_statements"
                " union all"
                " select 'lock' from pg_catalog.pg_locks"
                " where pid = pg_catalog.pg_backend_pid() and locktype = 'advisory'"
                " union all"
                " select 'table ' || relname from pg_catalog.pg_class where relpersistence = 't'"
            ).fetchall()
    left = {row[0] for row in rows} - {f"setting {name}" for name in SET_BY_THE_POOLER}
    assert left == set()


@pytest.mark.parametrize("command", [["verify", "--now", "2026-03-02T08:00"], ["scheduler"]])
def test_what_needs_a_session_of_its_own_is_refused(
    run: Run, pooled_url: str, command: list[str]
) -> None:
    said = " ".join(run(pooled_url, *command, code=2).split())
    assert "needs a session of its own, and DATABASE_URL leads through a pooler" in said


# The API.


class PooledClient(Client):
    """One that knows of the pooler: it has nothing prepared in its session."""

    def connect(self) -> Session:
        session = super().connect()
        session.prepare_threshold = None
        return session


def test_many_clients_reserve_book_move_and_cancel_through_a_few_sessions(
    db: Session, database_url: str, pooled_url: str
) -> None:
    load = Load(pooled_url, make_shop(db))
    load.clients = [
        PooledClient(pooled_url, load.shop, random.Random(number)) for number in range(16)
    ]
    with load.running():
        deadline = time.monotonic() + 30
        while load.calls < 300 and load.is_working:
            assert time.monotonic() < deadline, load.summary()
            time.sleep(0.02)
    print(load.summary())

    assert load.broken_promises(db) == []
    with connected(database_url) as connection, progress_bar() as bar:
        assert verify.verify(connection, bar, independent=True).differences == 0
    answered = {function for client in load.clients for function, code in client.answered}
    assert {"reserve_slot", "create_appointment", "reschedule_appointment"} <= answered
    assert "cancel_appointment" in answered


def test_no_client_ever_acts_with_the_claims_of_another(db: Session, pooled: Pooled) -> None:
    """Each customer sees their own appointment and nothing else, and is nobody afterwards, while
    all of them take turns in the same sessions."""
    shop = make_shop(db)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    customers = {
        shop.appointment(tomorrow + timedelta(hours=number), customer_id=user_id): user_id
        for number, user_id in enumerate(uuid4() for _ in range(16))
    }
    turns: dict[int, set[UUID]] = defaultdict(set)
    start = threading.Barrier(len(customers))

    def take_turns(own: UUID, user_id: UUID, session: Session) -> None:
        start.wait()
        for _ in range(40):
            with acting_as(session, customer(user_id), keep=True):
                [(pid,)] = session.execute("select pg_catalog.pg_backend_pid()").fetchall()
                assert session.execute("select id from api.appointments").fetchall() == [(own,)]
                turns[pid].add(user_id)
            nobody = session.execute(
                "select current_user = session_user,"
                " nullif(current_setting('request.jwt.claims', true), '')"
            ).fetchone()
            assert nobody == (True, None)

    with ThreadPoolExecutor(len(customers)) as threads:
        working = [
            threads.submit(take_turns, own, user_id, pooled()) for own, user_id in customers.items()
        ]
        for each in working:
            each.result()
    assert len(turns) <= POOL_SIZE
    assert all(len(users) > 1 for users in turns.values()), "the clients did not share sessions"


def test_a_refusal_keeps_its_status_and_its_record(db: Session, pooled: Pooled) -> None:
    make_shop(db)
    answer = Api(pooled()).call("reserve_slot", slot_id=uuid4(), session_id=str(uuid4()))
    assert (answer.status, answer.code) == (404, "slot_not_found")
    assert db.execute("select code from booking.audit_log").fetchall() == [("slot_not_found",)]


# Jobs.


def test_a_job_cannot_overlap_itself_through_the_pool_and_leaves_no_lock(
    db: Session, pooled: Pooled
) -> None:
    busy_job(db)
    first, second = pooled(), pooled()
    with ThreadPoolExecutor() as threads:
        db.execute("select pg_catalog.pg_advisory_lock(42)")
        running = threads.submit(run_job, first)
        wait_until_blocked(db, pid_of_the_job(db))
        assert run_job(second) is None
        db.execute("select pg_catalog.pg_advisory_unlock(42)")
        assert running.result() is not None
    assert run_job(second) is not None
    assert run_job(first) is not None


def test_a_job_that_is_cancelled_before_its_first_step_leaves_no_lock_in_the_pool(
    db: Session, connect: Callable[[], Session], pooled: Pooled
) -> None:
    busy_job(db)
    observer = connect()
    with ThreadPoolExecutor() as threads, db.transaction():
        db.execute("lock table booking.job_runs in exclusive mode")
        running = threads.submit(run_job, pooled())
        pid = pid_of_the_job(observer)
        wait_until_blocked(observer, pid)
        observer.execute("select pg_catalog.pg_cancel_backend(%s)", (pid,))
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result()
    # Not in the pool: whoever comes from elsewhere finds the lock free, too.
    assert run_job(db) is not None


def busy_job(db: Session) -> None:
    """A job whose only step waits for the advisory lock 42."""
    db.execute(
        "insert into booking.jobs (name, schedule, command) values ('busy', '* * * * *',"
        " 'select 0 from pg_catalog.pg_advisory_xact_lock(42)')"
    )


def run_job(session: Session) -> int | None:
    row = session.execute("call booking.run_job('busy')").fetchone()
    assert row is not None
    run_id: int | None = row[0]
    return run_id


def pid_of_the_job(observer: Session) -> int:
    """The session of the pool that runs it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        row = observer.execute(
            "select pid from pg_catalog.pg_stat_activity where datname = current_database()"
            " and query like 'call booking.run_job%' and state = 'active'"
        ).fetchone()
        if row:
            return int(row[0])
        time.sleep(0.01)
    raise AssertionError("nobody runs the job")
