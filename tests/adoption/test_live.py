"""A live system is moved over, back, over again, and let go, while its programs never stop writing.

By the real clock. PGBOOKING_ADOPTION_SECONDS says how long each phase lasts. With pytest -s it
prints what happened.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.adoption.conftest import ANNA, BEN, DAVE, MAP, Legacy, make_legacy
from tests.api import ANON, SERVICE, Api
from tests.cli.conftest import Run
from tests.postgres import Server

SECONDS = float(os.environ.get("PGBOOKING_ADOPTION_SECONDS", "0.7"))
PEOPLE = {ANNA: "Europe/Berlin", BEN: "Europe/Berlin", DAVE: "America/New_York"}

Times = tuple[int, datetime, datetime]


class Gate:
    """Everybody works, or nobody is in the middle of anything."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.is_open, self.is_over, self.inside = True, False, 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step of work."""
        with self.condition:
            self.condition.wait_for(lambda: self.is_open)
            self.inside += 1
        try:
            yield
        finally:
            with self.condition:
                self.inside -= 1
                self.condition.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """A moment of quiet."""
        with self.condition:
            self.is_open = False
            self.condition.wait_for(lambda: self.inside == 0)
        try:
            yield
        finally:
            with self.condition:
                self.is_open = True
                self.condition.notify_all()


@dataclass
class Worker:
    """A thread with a session; `known` is what it was told last of each row that is its own."""

    url: str
    gate: Gate
    random: random.Random
    known: dict[Any, Times | None] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Work until it is over."""
        with psycopg.connect(self.url, autocommit=True) as self.db:
            while not self.gate.is_over:
                with self.gate.step():
                    try:
                        self.work()
                    except psycopg.Error as error:
                        self.errors.append(f"{type(error).__name__}: {error}")
                time.sleep(self.random.uniform(0, 0.4))

    def work(self) -> None:
        raise NotImplementedError

    def any_times(self, minutes: int = 30) -> tuple[datetime, datetime]:
        """Local, within the next days."""
        start = datetime.combine(
            date.today() + timedelta(days=self.random.randint(2, 6)),  # noqa: DTZ011
            datetime.min.time(),
        ) + timedelta(minutes=15 * self.random.randint(36, 66))
        return start, start + timedelta(minutes=minutes)


@dataclass
class OldProgram(Worker):
    """The old system: one to four statements a transaction, on rows of its own, in any order."""

    weekday: int = 1

    def work(self) -> None:
        changes: dict[Any, Times | None] = {}
        # Serializable transactions fail for each other, with or without us: only one has them.
        strict = "serializable" if self.weekday == 1 else "repeatable read"
        level = self.random.choice(["read committed"] * 4 + [strict])
        with self.db.transaction():
            self.db.execute(f"set transaction isolation level {level}".encode())
            for _ in range(self.random.randint(1, 4)):
                action = self.random.choice(
                    [self.book] * 5
                    + [self.move] * 3
                    + [self.cancel, self.delete, self.absence, self.hours, self.person]
                )
                action(changes)
        self.known |= changes
        self.done[level] += 1

    def own(self, changes: dict[Any, Times | None]) -> Any:
        live = [key for key, times in (self.known | changes).items() if times]
        return self.random.choice(live) if live else None

    def book(self, changes: dict[Any, Times | None]) -> None:
        staff = self.random.choice(list(PEOPLE))
        times = self.any_times()
        row = self.db.execute(
            "insert into shop.appointments (tenant_id, user_id, service_id, customer_id, starts_at,"
            " ends_at, created_by) values (%s, %s, %s, 3, %s, %s, 'website') returning id",
            (2 if staff == DAVE else 1, staff, 3 if staff == DAVE else 1, *times),
        ).fetchone()
        assert row
        changes[row[0]] = (staff, *times)

    def move(self, changes: dict[Any, Times | None]) -> None:
        if key := self.own(changes):
            old = (self.known | changes)[key]
            assert old
            staff = DAVE if old[0] == DAVE else self.random.choice([ANNA, BEN])
            times = self.any_times(45)
            self.db.execute(
                "update shop.appointments set user_id = %s, starts_at = %s, ends_at = %s"
                " where id = %s",
                (staff, *times, key),
            )
            changes[key] = (staff, *times)

    def cancel(self, changes: dict[Any, Times | None]) -> None:
        if key := self.own(changes):
            self.db.execute(
                "update shop.appointments set state = 'cancelled' where id = %s", (key,)
            )
            changes[key] = None

    def delete(self, changes: dict[Any, Times | None]) -> None:
        if key := self.own(changes):
            self.db.execute("delete from shop.appointments where id = %s", (key,))
            changes[key] = None

    def absence(self, _: dict[Any, Times | None]) -> None:
        staff = self.random.choice(list(PEOPLE))
        self.db.execute(
            "insert into shop.absences (user_id, starts_at, ends_at) values (%s, %s, %s)",
            (staff, *self.any_times()),
        )

    def hours(self, _: dict[Any, Times | None]) -> None:
        # A weekday of its own, or strict transactions would fail for each other as ever.
        self.db.execute(
            "update shop.working_hours set closes = %s where user_id = %s and dow = %s",
            (
                self.random.choice(["15:00", "16:30", "17:00"]),
                self.random.choice(list(PEOPLE)),
                self.weekday,
            ),
        )

    def person(self, _: dict[Any, Times | None]) -> None:
        self.db.execute("insert into shop.users (tenant_id, role, first_name, last_name)"
                        " values (1, 'customer', 'Carl', 'Cole')")  # fmt: skip


class Website(Worker):
    """pgbooking's own customers: reserve, book, move, cancel, as PostgREST calls it."""

    def work(self) -> None:
        if not hasattr(self, "api"):
            self.api, self.session_id = Api(self.db), str(uuid4())
            self.tokens: dict[UUID, str] = {}
        live = [key for key, times in self.known.items() if times]
        if live and self.random.random() < 0.4:
            key = self.random.choice(live)
            answer = self.api.call(
                "cancel_appointment", ANON, appointment_id=key, manage_token=self.tokens[key]
            )
            self.done[f"cancel {answer.code}"] += 1
            if answer.success:
                self.known[key] = None
            return
        slot = self.db.execute(
            "select s.id, t.code, p.external_id::int, s.start_time, s.end_time"
            " from booking.availability_slots s"
            " join booking.staff p on p.tenant_id = s.tenant_id and p.id = s.staff_id"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.is_available and s.start_time > now() + interval '2 days'"
            " order by random() limit 1"
        ).fetchone()
        if slot is None:
            return
        slot_id, code, staff, starts, ends = slot
        held = self.api.call(
            "reserve_slot", ANON, slot_id=slot_id, session_id=self.session_id, appointment_type=code
        )
        self.done[f"reserve {held.code}"] += 1
        if held.success:
            booked = self.api.call(
                "create_appointment",
                SERVICE,
                slot_id=slot_id,
                session_id=self.session_id,
                appointment_type=code,
                user_data={"name": "Eve Evans", "email": "eve@example.org"},
            )
            self.done[f"book {booked.code}"] += 1
            if booked.success:
                key = UUID(booked.body["appointment_id"])
                self.tokens[key] = booked.body["manage_token"]
                zone = ZoneInfo(PEOPLE[staff])
                self.known[key] = (
                    staff,
                    *(each.astimezone(zone).replace(tzinfo=None) for each in (starts, ends)),
                )


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """The old system by today's date, and pgbooking beside it, which knows nothing of it yet."""
    with server.database(server.template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            make_legacy(db)
            db.execute("update booking.settings set reads_per_minute = 1000000,"
                       " reserves_per_minute = 1000000, bookings_per_minute = 1000000")  # fmt: skip
        yield url


def test_the_old_programs_never_see_an_error_and_nothing_is_lost(
    database_url: str, db: psycopg.Connection[Any], run: Run
) -> None:
    legacy = Legacy(db, run)
    gate = Gate()
    programs = [
        OldProgram(database_url, gate, random.Random(seed), weekday=seed) for seed in range(1, 5)
    ]
    website = [Website(database_url, gate, random.Random(seed)) for seed in range(10, 12)]
    threads = [threading.Thread(target=each.run) for each in programs]
    for thread in threads:
        thread.start()
    try:
        time.sleep(SECONDS)
        assert run("adopt", "--map", MAP, "--apply").code in {0, 1}
        db.execute("update booking.tenants set booking_horizon_days = 9")
        look(legacy, gate, programs, [])

        for step in ("--switch", "--back", "--switch"):
            assert run("adopt", step).code in {0, 1}
            if step == "--switch" and not any(each.done for each in website):
                threads += [threading.Thread(target=each.run) for each in website]
                for thread in threads[-len(website) :]:
                    thread.start()
            time.sleep(SECONDS)
            look(legacy, gate, programs, website)
        with gate.closed():
            put_right(legacy)
            assert run("adopt", "--finish", "--yes").code == 0
        time.sleep(SECONDS / 2)
    finally:
        gate.is_over = True
        for thread in threads:
            thread.join()
    assert run("verify", "--independent").code == 0
    assert [error for each in [*programs, *website] for error in each.errors] == []
    told = sum((each.done for each in [*programs, *website]), Counter[str]())
    print(dict(told))
    assert told["read committed"] > 20
    assert told["book None"] > 0


def look(legacy: Legacy, gate: Gate, programs: list[OldProgram], website: list[Website]) -> None:
    """In a moment of quiet: everything that was acknowledged is in both, or listed as not."""
    assert legacy.run("verify").code == 0, "while everybody works"
    with gate.closed():
        settle(legacy)
        listed = {key for section, key, _ in legacy.queue() if section == "appointments"}
        different = {each[0] for each in legacy.strangers()}
        assert different <= listed, (legacy.strangers(), legacy.queue(), what_there_is(legacy))
        assert None not in listed, legacy.queue()
        verified = legacy.run("verify", "--independent", "--json")
        assert verified.code == 0, (verified.out, what_there_is(legacy))

        there = {
            key: (staff, starts, ends) if state != "cancelled" else None
            for key, staff, starts, ends, state in legacy.db.execute(
                "select id, user_id, starts_at, ends_at, state from shop.appointments"
            )
        }
        for program in programs:
            for key, times in program.known.items():
                assert there.get(key) == times
        linked = dict(
            legacy.db.execute(
                "select row_id, external_id::bigint from booking_adoption.links"
                " where section = 'appointments'"
            ).fetchall()
        )
        for site in website:
            for appointment, times in site.known.items():
                if times:
                    assert there[linked[appointment]] == times
                else:
                    assert there.get(linked[appointment]) is None


def what_there_is(legacy: Legacy) -> list[Any]:
    """Everything that takes time here, to be told when it is wrong: there is no second time."""
    return legacy.db.execute(
        "select to_jsonb(a) from booking.appointments a union all"
        " select to_jsonb(b) from booking.busy_times b union all"
        " select to_jsonb(h) from booking.slot_reservations h union all"
        " select to_jsonb(c) from booking.calendars c union all"
        " select to_jsonb(w) from booking.working_hours w union all"
        " select to_jsonb(k) from booking_adoption.links k"
    ).fetchall()


def settle(legacy: Legacy) -> None:
    """Work the queue off, until only what cannot be followed is left."""
    legacy.db.execute("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()


def put_right(legacy: Legacy) -> None:
    """What somebody does who reads the list: the rows that cannot be here are cancelled there."""
    settle(legacy)
    for section, key, _ in legacy.queue():
        assert section == "appointments"
        legacy.db.execute("update shop.appointments set state = 'cancelled' where id = %s", (key,))
    settle(legacy)
    assert legacy.queue() == []
