"""The highest load for a long time, and what must not have grown, or stayed behind: `make soak`.

    make soak                        an hour
    make soak ARGS="--minutes 600"   longer; Ctrl-C ends it early, and it reports what it has seen

Two databases on a server of its own, with autovacuum. In both are the same shops and, in a
scheduler of its own, the jobs by their schedule; somebody handles the events, asks for slots from
ever new addresses, and changes what 25 people's calendars hang on. In one of them two clients in
each shop do all that tests/load.py can think of, as fast as they get answers; in the other, which
shows what is usual, somebody somewhere does one thing a second. Then nobody calls any more, until
holds have expired and the jobs have tidied up; then the clock is moved on until nothing need be
kept.

The exit code is 1 where a line of the verdict says "misses".
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgbooking import jobs, migrate, verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from pgbooking.signals import Stop, stop_on_signals
from tests import postgres
from tests.api import Api
from tests.load import ZONE, Client, Load, Session, Shop, make_shop, overlaps
from tests.postgres import Server, running_server
from tests.salon import insert

# An operator's settings and not a test's: commits survive, and autovacuum comes by as often as
# deploy/scaling.md says.
SETTINGS = {"shared_buffers": "256MB", "max_connections": "100", "timezone": "UTC"}
NAPTIME = "1s"

MOST_GROWTH = 1.5
"""How many times as large as after quiet use the table of slots may be, and a session as when it
was warm."""

LEAST_MINUTES = 10.0
"""Below this, growth is not judged: the table has to find its size first."""

QUIET_MINUTES = 7.0
"""Until holds (a minute) have expired and every frequent job (five) has run."""

PEOPLE_OF_THE_CHAIN = 25
"""More than are published at once after a change for everybody: they are queued."""


@dataclass(frozen=True)
class Pace:
    """How much is going on in so many shops: clients, and seconds between two things that each of
    them does, two visitors who only look, and two changes for everybody."""

    clients: int
    client_pause: float
    visitor_pause: float
    change_pause: float


def busy_pace(shops: int) -> Pace:
    return Pace(clients=max(16, 2 * shops), client_pause=0, visitor_pause=0.1, change_pause=30)


def quiet_pace(shops: int) -> Pace:
    return Pace(clients=shops, client_pause=shops, visitor_pause=10, change_pause=600)


@dataclass(frozen=True)
class Town:
    """Shops, and a chain that is only looked at: too many people for one change of all of them."""

    shops: list[Shop]
    chain: Shop


def build_town(url: str, shops: int) -> Town:
    """Nothing is booked yet."""
    for _ in migrate.apply(url):
        pass
    with psycopg.connect(url, autocommit=True) as db:
        town = Town([make_shop(db) for _ in range(shops)], make_shop(db))
        for number in range(PEOPLE_OF_THE_CHAIN - len(town.chain.people)):
            town.chain.add_person(f"Person {number}")
    return town


@dataclass
class Scene:
    """One of the two databases, and everybody who is at work in it."""

    name: str
    url: str
    pace: Pace
    town: Town
    load: Load = field(init=False)
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[str] = field(default_factory=list)
    warm: dict[int, float] = field(default_factory=dict)
    looks: int = 0

    def __post_init__(self) -> None:
        shops = self.town.shops
        self.load = Load(self.url, shops[0])
        self.load.clients = [
            Client(self.url, shops[n % len(shops)], random.Random(n), self.pace.client_pause)
            for n in range(self.pace.clients)
        ]

    @contextmanager
    def open(self) -> Iterator[None]:
        """While in here everybody is at work; errors of any of them are kept."""
        threads = [
            threading.Thread(target=self._work, args=(work,))
            for work in (self._handle_events, self._look, self._change_for_everybody)
        ]
        is_ours = False
        try:
            with self.load.running():
                for thread in threads:
                    thread.start()
                try:
                    yield
                except BaseException:
                    is_ours = True
                    raise
        except Exception as error:
            if is_ours:
                raise
            self.errors.append(f"a client: {error!r}")
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    @property
    def is_working(self) -> bool:
        return self.load.is_working and not self.errors

    def value(self, statement: str, *values: object) -> Any:
        """One value, or all of a row's."""
        with psycopg.connect(self.url, autocommit=True) as db:
            row = db.execute(statement.encode(), values).fetchone()
        assert row is not None
        return row[0] if len(row) == 1 else row

    def size(self) -> int:
        """Bytes of the published slots, with indexes."""
        return int(self.value("select pg_total_relation_size('booking.availability_slots')"))

    def memory(self) -> dict[int, float]:
        """MB that each client's session has to itself, by its pid; nothing where the system does
        not tell."""
        pids = [client.session.info.backend_pid for client in self.load.clients]
        return {pid: own for pid in pids if (own := own_memory(pid)) is not None}

    # Who is at work beside the clients.

    def _work(self, work: Callable[[Session], float]) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True) as db:
                while not self.stop.wait(work(db)):
                    pass
        except Exception as error:
            self.errors.append(f"{work.__name__.strip('_')}: {error!r}")

    def _handle_events(self, db: Session) -> float:
        return 0.01 if handle_events(db) else 1

    def _look(self, db: Session) -> float:
        """A visitor of another address each time, who is counted."""
        self.looks += 1
        today = datetime.now(ZONE).date()
        address = str(IPv4Address("11.0.0.0") + self.looks)
        answer = Api(db).call(
            "get_available_slots",
            headers={"x-forwarded-for": address},
            tenant_id=random.choice(self.town.shops).tenant,
            start_date=today,
            end_date=today + timedelta(days=3),
        )
        assert answer.success, answer
        return self.pace.visitor_pause

    def _change_for_everybody(self, db: Session) -> float:
        """A break of all of the chain comes, or goes."""
        chain = self.town.chain.tenant
        if not db.execute("delete from booking.breaks where tenant_id = %s", (chain,)).rowcount:
            insert(db, "breaks", tenant_id=chain, start_time="12:00", end_time="12:30")
        return self.pace.change_pause


def handle_events(db: Session) -> int:
    """As whoever sends mails does: take some, finish them."""
    with db.transaction():
        row = db.execute(
            "select booking.finish_events(array_agg(e.tenant_id), array_agg(e.id))"
            " from booking.take_events(100) e having count(*) > 0"
        ).fetchone()
    return int(row[0]) if row else 0


def own_memory(pid: int) -> float | None:
    """MB of a process that are no other's: the shared buffers it has touched are left out."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("RssAnon:")]
    return kilobytes[0] / 1024 if kilobytes else None


@contextmanager
def scheduler(url: str) -> Iterator[None]:
    """`pgbooking scheduler`. A Ctrl-C is not for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pgbooking.app", "scheduler"],
        env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


# What it tells while it runs.

HEADS = (
    ("minutes", 7),
    ("calls", 9),
    ("a second", 8),
    ("slots", 7),
    ("MB", 6),
    ("dead", 7),
    ("vacuumed", 8),
    ("MB, quiet", 9),
    ("queue", 5),
    ("holds", 5),
    ("to send", 7),
    ("addresses", 9),
    ("MB a session", 12),
)

COUNTS = """
  select
    (select count(*) from booking.availability_slots),
    pg_total_relation_size('booking.availability_slots') / 1e6,
    s.n_dead_tup,
    s.autovacuum_count,
    (select count(*) from booking.refresh_queue),
    (select count(*) from booking.slot_reservations),
    (select count(*) from booking.events where processed_at is null),
    (select count(*) from booking.rate_limits)
  from pg_catalog.pg_stat_user_tables s
  where s.relid = 'booking.availability_slots'::regclass
"""


def head() -> str:
    return "  ".join(f"{name:>{width}}" for name, width in HEADS)


def line(busy: Scene, quiet: Scene, minutes: float, calls: float, a_second: float) -> str:
    """One line of the table."""
    slots, size, dead, vacuums, queue, holds, to_send, addresses = busy.value(COUNTS)
    memory = busy.memory().values()
    cells = (
        f"{minutes:.1f}",
        f"{calls:,}",
        f"{a_second:.1f}",
        f"{slots:,}",
        f"{size:.2f}",
        f"{dead:,}",
        f"{vacuums:,}",
        f"{quiet.size() / 1e6:.2f}",
        queue,
        holds,
        to_send,
        f"{addresses:,}",
        f"{statistics.median(memory):.1f}" if memory else "",
    )
    return "  ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, HEADS, strict=True))


@dataclass
class Verdict:
    """The closing lines."""

    lines: list[str] = field(default_factory=list)
    missed: int = 0

    def add(self, what: str, measured: object, *, meets: bool | None) -> None:
        """A line; `meets` is None where this run is too short to tell."""
        self.missed += meets is False
        word = {True: "meets", False: "misses", None: "too short to tell"}[meets]
        self.lines.append(f"{what}: {measured}  {word}")


@dataclass(frozen=True)
class Options:
    """How long, how often to tell, and in how many shops."""

    minutes: float = 60
    every: float = 5
    quiet_minutes: float = QUIET_MINUTES
    shops: int = 16


def run(server: Server, options: Options, stop: Stop, tell: Callable[[str], None]) -> Verdict:
    """All of it, or what there is of it once `stop` is set; what is seen is told line by line."""
    with ExitStack() as stack:
        empty = stack.enter_context(server.database())
        town = build_town(empty, options.shops)
        template = str(conninfo_to_dict(empty)["dbname"])
        busy, quiet = scenes = [
            Scene(name, stack.enter_context(server.database(template)), pace(options.shops), town)
            for name, pace in (("busy", busy_pace), ("quiet", quiet_pace))
        ]
        with scheduler(busy.url), scheduler(quiet.url):
            with busy.open(), quiet.open():
                minutes = work(busy, quiet, options, stop, tell)
                memory = busy.memory()
            tell(busy.load.summary())
            tidy_up(scenes, options.quiet_minutes, stop, tell)
        verdict = Verdict()
        is_over = None if stop.is_set() else minutes >= options.minutes
        verdict.add("minutes", f"{minutes:.1f} of {options.minutes:g}", meets=is_over)
        judge_growth(verdict, busy, quiet, memory, is_long=minutes >= LEAST_MINUTES)
        for scene in scenes:
            judge(verdict, scene)
        return verdict


def work(
    busy: Scene, quiet: Scene, options: Options, stop: Stop, tell: Callable[[str], None]
) -> float:
    """Wait while they work, telling what there is to see; returns for how many minutes."""
    began = told = time.monotonic()
    calls = 0
    tell(head())
    with progress_bar() as bar:
        task = bar.add_task("minutes", total=options.minutes)
        while not stop.wait(0.5) and busy.is_working and quiet.is_working:
            now = time.monotonic()
            minutes = (now - began) / 60
            bar.update(task, completed=round(minutes, 1))
            if minutes >= options.minutes / 10 and not busy.warm:
                busy.warm = busy.memory()
            is_over = minutes >= options.minutes
            if is_over or now - told >= options.every * 60:
                a_second = (busy.load.calls - calls) / (now - told)
                calls, told = busy.load.calls, now
                tell(line(busy, quiet, minutes, calls, a_second))
            if is_over:
                break
    return (time.monotonic() - began) / 60


def tidy_up(scenes: list[Scene], minutes: float, stop: Stop, tell: Callable[[str], None]) -> None:
    """Nobody calls any more: wait for the jobs, or, where that would take too long, run them."""
    deadline = time.monotonic() + minutes * 60
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(psycopg.connect(scene.url, autocommit=True)) for scene in scenes
        ]
        tell(f"Nobody calls, for {minutes:g} minutes.")
        while time.monotonic() < deadline and not stop.wait(0.5):
            for db in sessions:
                handle_events(db)
        if stop.is_set() or minutes < QUIET_MINUTES:
            tell("That was short: holds are made to expire, and the jobs run by hand.")
            for db in sessions:
                let_holds_expire(db)
                for job in jobs.listed(db):
                    jobs.run(db, job.name)
        for db in sessions:
            while handle_events(db):
                pass


def let_holds_expire(db: Session) -> None:
    """A minute passes for all of them."""
    with db.transaction():
        db.execute(
            "select booking.lock_calendars(c.tenant_id, array_agg(c.staff_id order by c.staff_id))"
            " from booking.calendars c group by c.tenant_id"
        )
        db.execute("update booking.slot_reservations set expires_at = booking.now()")


# What must be true afterwards.

# What is left over of what was only for the moment.
LEFT = {
    "calendars in refresh_queue": "select count(*) from booking.refresh_queue",
    "holds in slot_reservations": "select count(*) from booking.slot_reservations",
    "events that nobody has handled": (
        "select count(*) from booking.events where processed_at is null"
    ),
    "jobs that failed or were cut off": (
        "select count(*) from booking.job_runs where error is not null or finished_at is null"
    ),
    "deadlocks": (
        "select deadlocks from pg_catalog.pg_stat_database where datname = current_database()"
    ),
}

# What is kept for a while: settings say for how many days. The run that deletes is on record.
KEPT = {
    "audit_log": "select count(*) from booking.audit_log",
    "events": "select count(*) from booking.events",
    "job_runs": "select count(*) from booking.job_runs where job_name <> 'delete_old_records'",
    "rate_limits": "select count(*) from booking.rate_limits",
    "searches": "select count(*) from booking.searches",
    "verification_runs": "select count(*) from booking.verification_runs",
}
LONGEST = """
  select greatest(audit_retention_days, event_retention_days, job_run_retention_days,
    verification_retention_days)
  from booking.settings
"""


def judge_growth(
    verdict: Verdict, busy: Scene, quiet: Scene, memory: dict[int, float], *, is_long: bool
) -> None:
    """What may grow, and by how much."""
    large, usual = busy.size(), quiet.size()
    verdict.add(
        f"slots with indexes, after quiet use {usual / 1e6:.2f} MB",
        f"{large / 1e6:.2f} MB, {large / usual:.2f} x (≤ {MOST_GROWTH})",
        meets=large <= MOST_GROWTH * usual if is_long else None,
    )
    growth = [memory[pid] / busy.warm[pid] for pid in memory.keys() & busy.warm.keys()]
    if growth:
        verdict.add(
            f"memory of a session, warm {statistics.median(busy.warm.values()):.1f} MB",
            f"{statistics.median(memory.values()):.1f} MB, at most {max(growth):.2f} x"
            f" (≤ {MOST_GROWTH})",
            meets=max(growth) <= MOST_GROWTH if is_long else None,
        )


def judge(verdict: Verdict, scene: Scene) -> None:
    """What may not be there at all."""

    def none(what: str, found: list[str]) -> None:
        verdict.add(f"{scene.name}, {what}", len(found), meets=not found)
        verdict.lines += [f"  {each}" for each in found[:10]]

    for what, statement in LEFT.items():
        count = scene.value(statement)
        verdict.add(f"{scene.name}, {what}", count, meets=count == 0)
    with psycopg.connect(scene.url, autocommit=True) as db:
        none("overlaps", [str(row) for row in overlaps(db)])
        none("broken promises", scene.load.broken_promises(db))
    none("errors of anybody", scene.errors)
    with connected(scene.url) as connection, progress_bar() as bar:
        report = verify.verify(connection, bar, independent=True)
    differences = [*report.installation, *(d for each in report.tenants for d in each.differences)]
    none("differences found by verify --independent", [str(each) for each in differences])
    none("tables with records kept too long", left_when_all_is_old(scene.url))


def left_when_all_is_old(url: str) -> list[str]:
    """Move the clock on until nothing need be kept, delete, and see what stays."""
    with connected(url) as db:
        [(days,)] = db.execute(LONGEST).fetchall()
    with connected(url, now=datetime.now(UTC) + timedelta(days=days + 2)) as db:
        jobs.run(db, "delete_old_records")
        counts = {table: db.execute(count).fetchone() for table, count in KEPT.items()}
    return [f"{table}: {row[0]:,}" for table, row in counts.items() if row and row[0]]


def main() -> int:
    """Run it, print the table and the verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=Options.minutes)
    parser.add_argument("--every", type=float, default=Options.every, help="minutes a line")
    parser.add_argument("--quiet-minutes", type=float, default=Options.quiet_minutes)
    parser.add_argument("--shops", type=int, default=Options.shops)
    parser.add_argument("--naptime", default=NAPTIME, help="autovacuum_naptime")
    parser.add_argument("--server", default=postgres.chosen(), help="15 to 18, or embedded")
    chosen = vars(parser.parse_args())
    settings = SETTINGS | {"autovacuum_naptime": chosen.pop("naptime")}
    with running_server(chosen.pop("server"), settings) as server, stop_on_signals() as stop:
        verdict = run(server, Options(**chosen), stop, lambda text: print(text, flush=True))
    print("\n".join(verdict.lines))
    return 1 if verdict.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
