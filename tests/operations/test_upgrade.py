"""Upgrades and the way back: nothing is lost, and while everybody goes on booking no client sees an
error. With pytest -s the longest is printed that anybody had to wait.

PGBOOKING_APPOINTMENTS says how many appointments there are in the database that goes up and down.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from pgbooking import engine, migrate, seed, verify
from pgbooking.connection import connected
from pgbooking.migrate import Direction
from pgbooking.output import progress_bar
from pgbooking.sources import migrations_folder, sql_folder
from tests.api import Api
from tests.load import Client, Load, Shop, make_shop

RELEASE = "0.1.0"
LOITERS_SECONDS = 8
# What waits for a calendar, each done by a client of its own.
ACTIONS = [
    "reserve",
    "release",
    "book",
    "move",
    "cancel",
    "set_hours",
    "recalculate",
    "expire_hold",
    "insert_by_hand",
    "move_by_hand",
    "cancel_by_hand",
    "add_busy_time",
    "remove_busy_time",
    "change_hours",
]
APPOINTMENTS = int(os.environ.get("PGBOOKING_APPOINTMENTS", "1000"))


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """Migrations of a release after this one, in which every function, trigger, policy and view is
    another, though each does the same."""
    migrations = Path(shutil.copytree(migrations_folder(), tmp_path / "migrations"))
    sql = Path(shutil.copytree(sql_folder(), tmp_path / "sql"))
    engine.release(migrations, "0.2.0")
    before = engine.wanted_code(sql)
    for file in sql.rglob("*.sql"):
        text = file.read_text()
        text = re.sub(r"(?m)^as \$\$$", "as $$\n-- Of the next release.", text)
        text = re.sub(r"(?m)^(create .*(?:trigger|policy|view) .*)$", r"\1 -- next release", text)
        file.write_text(text)
    after = engine.wanted_code(sql)
    assert not [key for key, each in after.pieces.items() if each.is_like(before.pieces[key])]
    engine.write(migrations, sql)
    return migrations


@pytest.fixture
def shop_url(empty_database_url: str) -> str:
    """A database at the first release, with a shop."""
    list(migrate.apply(empty_database_url, to=RELEASE))
    return empty_database_url


@dataclass
class Readers:
    """Anonymous visitors who look at what is free, again and again, by view and by function."""

    url: str
    shop: Shop
    seconds: list[float] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._read, args=[stop])
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _read(self, stop: threading.Event) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            while not stop.is_set() and not self.errors:
                began = time.monotonic()
                try:
                    self._read_once(session)
                except Exception as error:
                    self.errors.append(error)
                self.seconds.append(time.monotonic() - began)

    def _read_once(self, session: psycopg.Connection) -> None:
        with session.transaction():
            session.execute("set local role anon")
            query = "select id, start_time from api.availability_slots where tenant_id = %s limit 9"
            assert len(session.execute(query, [self.shop.tenant]).fetchall()) == 9
        answer = Api(session).call(
            "get_next_available", method="GET", tenant_id=self.shop.tenant, max_results=3
        )
        assert len(answer.body["slots"]) == 3, answer


class Stalls:
    """The longest calls: before anything was changed, and during each change."""

    def __init__(self, load: Load, readers: Readers) -> None:
        self.load = load
        self.readers = readers
        self.lines: list[str] = []

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """At least a hundred calls of the load belong to it, whatever it is."""
        booked_before = [len(client.seconds) for client in self.load.clients]
        read_before, calls_before = len(self.readers.seconds), self.load.calls
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        while self.load.calls < calls_before + 100 and self.load.is_working:
            time.sleep(0.01)
        seconds = [
            each
            for client, start in zip(self.load.clients, booked_before, strict=True)
            for each in client.seconds[start:]
        ]
        self.lines.append(
            f"{what}: {took:.1f} s, {len(seconds)} calls, "
            f"longest {max(seconds) * 1000:.0f} ms to book, "
            f"{max(self.readers.seconds[read_before:], default=0) * 1000:.0f} ms to read"
        )


def test_nobody_notices_an_upgrade_or_the_way_back(shop_url: str, next_release: Path) -> None:
    with psycopg.connect(shop_url, autocommit=True) as db:
        shop = make_shop(db)
    load, readers = Load(shop_url, shop, clients=4), Readers(shop_url, shop)
    stalls = Stalls(load, readers)
    up = list(migrate.pending(shop_url, next_release))
    of_this_release = [each for each in up if (migrations_folder() / f"{each}.sql").exists()]
    assert 0 < len(of_this_release) < len(up)

    with load.running(), readers.running():
        with stalls.during("before"):
            pass
        # Somebody who takes his time over what the next release changes. Whoever waited for him to
        # end would hold up all others.
        loiterer = psycopg.connect(shop_url)
        loiterer.execute("select from booking.appointments limit 1")
        leaving = threading.Timer(LOITERS_SECONDS, loiterer.close)
        leaving.start()
        with stalls.during(f"{RELEASE} to this release, {len(of_this_release)} migrations"):
            assert list(migrate.apply(shop_url)) == of_this_release
        with stalls.during(f"to a next one that changes everything, {len(up)} in all"):
            assert list(migrate.apply(shop_url, next_release)) == up[len(of_this_release) :]
        with stalls.during(f"back to {RELEASE}"):
            ids = migrate.rollback_order(shop_url, next_release, to=RELEASE)
            assert list(migrate.rollback(shop_url, ids, next_release)) == up[::-1]
        with stalls.during("and to this release again"):
            assert list(migrate.apply(shop_url)) == of_this_release

    leaving.join()
    print("\n  ".join([load.summary(), *stalls.lines]))
    longest = max(max(client.seconds) for client in load.clients)
    assert max(longest, *readers.seconds) < LOITERS_SECONDS / 2
    assert readers.errors == []
    answers = {code for client in load.clients for _, code in client.answered}
    assert "busy" not in answers
    with psycopg.connect(shop_url, autocommit=True) as db:
        db.execute("call booking.drain_refresh_queue()")
        assert load.broken_promises(db) == []
    assert found_by_verify(shop_url) == 0
    assert migrate.status(shop_url).problems == []


@pytest.mark.parametrize("direction", ["apply", "rollback"])
def test_whoever_waits_for_a_calendar_while_functions_are_replaced_goes_on(
    shop_url: str, direction: Direction
) -> None:
    [engine_id] = [each for each in migrate.pending(shop_url) if each.endswith(".engine")]
    if direction == "apply":
        before = migrate.pending(shop_url, to=engine_id)[:-1]
        list(migrate.apply(shop_url, to=before[-1]))
    else:
        list(migrate.apply(shop_url, to=engine_id))
    with psycopg.connect(shop_url, autocommit=True) as db:
        load = Load(shop_url, make_shop(db), clients=len(ACTIONS))
    suffix = ".sql" if direction == "apply" else ".rollback.sql"
    migration = migrations_folder() / f"{engine_id}{suffix}"

    with ExitStack() as stack:
        for client, action in zip(load.clients, ACTIONS, strict=True):
            stack.enter_context(client.connect())
            get_ready(client)
            getattr(client, action)()  # and so has its plans
            get_ready(client)
        threads = stack.enter_context(ThreadPoolExecutor(len(ACTIONS)))
        with psycopg.connect(shop_url) as migrating:
            migrating.execute(migration.read_bytes())
            doing = {
                action: threads.submit(getattr(client, action))
                for client, action in zip(load.clients, ACTIONS, strict=True)
            }
            wait_until_blocked(shop_url, list(doing.values()))
        errors = {action: error for action, each in doing.items() if (error := each.exception())}
    assert errors == {}
    assert "busy" not in {code for client in load.clients for _, code in client.answered}
    with psycopg.connect(shop_url, autocommit=True) as db:
        assert load.broken_promises(db) == []
        verified = "select count(*) from booking.find_differences(%s, null)"
        assert db.execute(verified, [load.shop.tenant]).fetchone() == (0,)


def get_ready(client: Client) -> None:
    """Until there are a booking, a hold and a busy time."""
    while not client.bookings:
        client.reserve()
        client.book()
    while not client.holds:
        client.reserve()
    client.add_busy_time()


def wait_until_blocked(url: str, doing: list[Future[None]]) -> None:
    """Until each waits for a lock. Some are refused before they would."""
    waiting = 0
    with psycopg.connect(url, autocommit=True) as db:
        deadline = time.monotonic() + 1.5  # and not until they give up
        while time.monotonic() < deadline:
            [(waiting,)] = db.execute(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            ).fetchall()
            if waiting + sum(each.done() for each in doing) == len(doing):
                break
            time.sleep(0.01)
    assert waiting > len(doing) / 2


def test_up_down_and_up_again_over_every_release_loses_nothing(empty_database_url: str) -> None:
    url = empty_database_url
    first, *later = migrate.releases()
    list(migrate.apply(url, to=first))
    sizes = seed.Sizes(
        tenants=2,
        staff=APPOINTMENTS // 250,
        locations=2,
        services=5,
        appointments_per_staff=150,
        busy_times_per_staff=10,
    )
    with connected(url) as connection, progress_bar() as bar:
        seed.seed(connection, sizes, 1, bar)
        connection.execute(
            "insert into booking.jobs (name, schedule, command)"
            " values ('somebody_elses', '0 4 * * *', 'select 0')"
        )
        connection.execute(
            "insert into booking.refresh_queue (tenant_id, staff_id, reason)"
            " select tenant_id, staff_id, 'as a test' from booking.calendars limit 3"
        )
    columns = columns_of(url)
    del columns["verification_runs"]  # which this test writes itself
    before = contents(url, columns)
    assert before["appointments"][0] >= APPOINTMENTS

    for to in [*later, None]:
        up = list(migrate.apply(url, to=to))
        assert contents(url, columns) == before, f"up to {to or 'this release'}"
        assert list(migrate.rollback(url, migrate.rollback_order(url, to=first))) == up[::-1]
        assert contents(url, columns) == before, f"down from {to or 'this release'}"
        assert found_by_verify(url) == 0
        assert list(migrate.apply(url, to=to)) == up
        assert contents(url, columns) == before, f"up again to {to or 'this release'}"
        assert found_by_verify(url) == 0
    print(", ".join(f"{table}: {count:,}" for table, (count, _) in before.items() if count))


Contents = dict[str, tuple[int, object]]


def columns_of(url: str) -> dict[str, list[str]]:
    """Table → its columns."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "select table_name, array_agg(column_name::text) from information_schema.columns"
            " where table_schema = 'booking' group by 1"
        ).fetchall()
    return dict(rows)


def contents(url: str, columns: dict[str, list[str]]) -> Contents:
    """Table → how many rows, and a hash of them all. The jobs that come with a migration go with
    it, too."""
    found = {}
    with psycopg.connect(url) as connection:
        for table, names in columns.items():
            only = "where name = 'somebody_elses'" if table == "jobs" else ""
            [found[table]] = connection.execute(
                f"select count(*), sum(hashtextextended(({', '.join(names)})::text, 0)::numeric)"
                f" from booking.{table} {only}".encode()
            ).fetchall()
    return found


def found_by_verify(url: str) -> int:
    with connected(url) as connection, progress_bar() as bar:
        return verify.verify(connection, bar).differences
