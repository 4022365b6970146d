"""An old system to take over from: legacy.sql of deploy/examples, followed by legacy.toml.

Its clock stands at Monday, 2 March 2026, 07:00 in Berlin. Anna and Ben of Salon Nord (Berlin) and
Dave of Barber Quay (New York) work on weekdays from 09:00 to 17:00.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from pgbooking import adopt
from pgbooking.adopt_map import load_map
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.cli.conftest import Run, interrupted_when_blocked, run, run_without_database, start
from tests.postgres import Server
from tests.salon import NOW, set_clock

__all__ = ["interrupted_when_blocked", "run", "run_without_database", "start"]

collect_ignore = [] if os.environ.get("PGBOOKING_SALON_DATA") else ["test_real_salon.py"]

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
MAP = EXAMPLES / "legacy.toml"
TODAY = datetime.fromisoformat(NOW).date()
CLOCK = ("--now", NOW.replace(" ", "T"))

ANNA, BEN, CARLA, DAVE = 1, 2, 3, 4
CUT, COLOUR = 1, 2

# How far ahead they are published: each weekday, and what is booked in these tests.
DAYS, USUAL_DAYS = 7, 60


@dataclass
class Legacy:
    """The old system, as its own programs write it, and what pgbooking has made of it."""

    db: psycopg.Connection[Any]
    run: Run

    def book(
        self,
        start: str,
        minutes: int = 30,
        *,
        days: int = 1,
        staff: int = ANNA,
        service: int = CUT,
        state: str = "booked",
    ) -> int:
        """Insert an appointment `days` from today; returns its id."""
        starts_at = datetime.combine(TODAY + timedelta(days=days), time.fromisoformat(start))
        row = self.db.execute(
            "insert into shop.appointments (tenant_id, user_id, service_id, customer_id, starts_at,"
            " ends_at, state, created_by) select u.tenant_id, u.id, %s, 3, %s, %s, %s, 'website'"
            " from shop.users u where u.id = %s returning id",
            (service, starts_at, starts_at + timedelta(minutes=minutes), state, staff),
        ).fetchone()
        assert row
        return int(row[0])

    def write(self, statement: str, *values: object) -> None:
        """What the old system's programs do: a statement."""
        self.db.execute(statement.encode(), values)

    def adopt(self, *arguments: str) -> Any:
        """Run `pgbooking adopt … --json`; the report, and the exit code."""
        answer = self.run("adopt", *arguments, "--json", *CLOCK)
        return answer.json | {"code": answer.code}

    def switch(self) -> Any:
        """Let pgbooking lead."""
        return self.adopt("--switch")

    def queue(self) -> list[tuple[Any, ...]]:
        """What is not in step: section, key and error."""
        return self.db.execute(
            "select section, coalesce(external_id, row_id::text), last_error"
            " from booking_adoption.queue order by id"
        ).fetchall()

    def follow_queue(self) -> int:
        """Work off what is due; returns how many rows that were."""
        done = 0
        while self.db.execute("select booking_adoption.follow_queued()").fetchone() == (1,):
            done += 1
        return done

    def appointment(self, key: int) -> Any:
        """The appointment that an old row is here, as a dictionary; None if it is none."""
        row = self.db.execute(
            "select to_jsonb(a) from booking.appointments a join booking_adoption.links k"
            " on k.tenant_id = a.tenant_id and k.row_id = a.id and k.section = 'appointments'"
            " where k.external_id = %s",
            (str(key),),
        ).fetchone()
        return row and row[0]

    def is_clean(self) -> bool:
        """Whether what is published is what both calculators say, and both systems agree."""
        verified = self.run("verify", "--independent", *CLOCK)
        assert verified.code == 0, verified.out
        assert self.strangers() == []
        return True

    def strangers(self) -> list[tuple[Any, ...]]:
        """Live times that one side has and the other has not, told from the tables alone."""
        old = {
            (str(key), str(staff), _instant(starts, zone), _instant(ends, zone))
            for key, staff, starts, ends, zone in self.db.execute(
                "select a.id, a.user_id, a.starts_at, a.ends_at, t.tz from shop.appointments a"
                " join shop.tenants t on t.id = a.tenant_id where a.state <> 'cancelled'"
            )
        }
        ours = {
            (key, staff, starts, ends)
            for key, staff, starts, ends in self.db.execute(
                "select b.external_id, s.external_id, b.start_time, b.end_time"
                " from booking.busy_times b join booking.staff s on s.id = b.staff_id"
                " where b.source = 'legacy' union all"
                " select k.external_id, s.external_id, a.start_time, a.end_time"
                " from booking.appointments a join booking.staff s on s.id = a.staff_id"
                " left join booking_adoption.links k on k.row_id = a.id"
                " where a.status <> 'cancelled'"
            )
        }
        return sorted(old ^ ours, key=str)


def _instant(local: datetime, zone: str) -> datetime:
    return local.replace(tzinfo=ZoneInfo(zone))


@pytest.fixture(scope="session")
def adopted_template(server: Server) -> Iterator[str]:
    """A database in which the old system is followed already, to be cloned."""
    with server.database(server.template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            set_clock(db)
            name = db.info.dbname
            make_legacy(db)
            look_ahead(db, DAYS)
        with connected(url, now=datetime.fromisoformat(NOW)) as connection, progress_bar() as bar:
            report = adopt.apply(connection, load_map(MAP), bar, 0.5)
        assert report.is_complete
        with psycopg.connect(url, autocommit=True) as db:
            look_ahead(db, USUAL_DAYS)
        yield name


def look_ahead(db: psycopg.Connection[Any], days: int) -> None:
    """Tenants that are made from now on are published so many days ahead."""
    db.execute(
        f"alter table booking.tenants alter booking_horizon_days set default {days}".encode()
    )


def make_legacy(db: psycopg.Connection[Any]) -> None:
    """The example's tables and people, without its appointments, which hang on today's date."""
    text = (EXAMPLES / "legacy.sql").read_text()
    db.execute(text.encode())
    db.execute("truncate shop.appointments, shop.absences restart identity")


@pytest.fixture
def database_url(server: Server, adopted_template: str) -> Iterator[str]:
    """A clone of that database."""
    with server.database(adopted_template) as url:
        yield url


@pytest.fixture
def legacy(db: psycopg.Connection[Any], run: Run) -> Legacy:
    """The old system, followed."""
    set_clock(db)
    return Legacy(db, run)
