"""Sixty-four sessions at once, started together by a barrier, round after round: who wins is a
matter of chance, how many win is not.

PGBOOKING_ROUNDS says how many rounds. With pytest -s it prints how long callers waited.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest

from tests.api import ANON, Answer, Api
from tests.load import overlaps, p99
from tests.salon import TEN, Salon, make_salon, set_clock

Session = psycopg.Connection[Any]

SESSIONS = 64
ROUNDS = int(os.environ.get("PGBOOKING_ROUNDS", "10"))


class Outcome(NamedTuple):
    """What one session asked for and got, and how long that took."""

    session_id: str
    slot_id: UUID
    answer: Answer
    seconds: float


class Crowd:
    """Sessions that all ask for the same at the same moment."""

    def __init__(self, salon: Salon, sessions: list[Session]) -> None:
        self.salon = salon
        self.clients = [
            (f"visitor {number:08}", Api(session)) for number, session in enumerate(sessions)
        ]
        self.rounds: list[list[Outcome]] = []

    def rush(self, slots: list[UUID]) -> list[Outcome]:
        """Each reserves one slot, in turn of `slots`. Every answer is success, slot_taken or busy,
        and is on record; whatever else happens is raised."""
        together = Barrier(len(self.clients))

        def reserve(number: int) -> Outcome:
            session_id, api = self.clients[number]
            slot = slots[number % len(slots)]
            together.wait()
            began = time.monotonic()
            answer = api.call("reserve_slot", ANON, slot_id=slot, session_id=session_id)
            return Outcome(session_id, slot, answer, time.monotonic() - began)

        recorded = self.recorded()
        with ThreadPoolExecutor(len(self.clients)) as threads:
            outcomes = list(threads.map(reserve, range(len(self.clients))))
        codes = Counter(outcome.answer.code for outcome in outcomes)
        assert codes.keys() <= {None, "slot_taken", "busy"}
        assert self.recorded() - recorded == codes
        assert overlaps(self.salon.db) == []
        self.rounds.append(outcomes)
        return outcomes

    def rush_for_anybody(self) -> list[Answer]:
        """Each reserves the cut at ten, of whoever is free, and again where it is told that it is
        busy there. Every answer is on record; in the end each is success or slot_taken."""
        together = Barrier(len(self.clients))
        codes: list[str | None] = []

        def reserve(number: int) -> Answer:
            session_id, api = self.clients[number]
            together.wait()
            while True:
                answer = api.call(
                    "reserve_time",
                    ANON,
                    tenant_id=self.salon.tenant,
                    start_time=TEN,
                    appointment_type="cut",
                    session_id=session_id,
                )
                codes.append(answer.code)
                if answer.code != "busy":
                    return answer

        recorded = self.recorded("reserve_time")
        with ThreadPoolExecutor(len(self.clients)) as threads:
            answers = list(threads.map(reserve, range(len(self.clients))))
        assert {answer.code for answer in answers} <= {None, "slot_taken"}
        assert self.recorded("reserve_time") - recorded == Counter(codes)
        assert overlaps(self.salon.db) == []
        return answers

    def release(self, outcomes: list[Outcome]) -> None:
        """Those who hold something give it back."""
        api = Api(self.salon.db)
        for outcome in outcomes:
            answer = api.call(
                "release_slot", ANON, slot_id=outcome.slot_id, session_id=outcome.session_id
            )
            assert answer.success

    def recorded(self, action: str = "reserve_slot") -> Counter[str | None]:
        """The attempts to reserve that are on record."""
        rows = self.salon.db.execute(
            "select code, count(*) from booking.audit_log"
            " where tenant_id = %s and action = %s group by 1",
            (self.salon.tenant, action),
        ).fetchall()
        return Counter(dict(rows))

    def deadlocks(self) -> int:
        """Deadlocks in this database until now, also those that a retry has hidden."""
        for _, api in self.clients:
            api.session.execute("select pg_stat_force_next_flush()")
        row = self.salon.db.execute(
            "select deadlocks from pg_catalog.pg_stat_database where datname = current_database()"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def report(self, what: str) -> None:
        """For people. A session's first call is slow, so the first round stands for itself."""
        codes = Counter(outcome.answer.code for each in self.rounds for outcome in each)
        later = [outcome.seconds for each in self.rounds[1:] for outcome in each]
        print(f"\n{len(self.rounds)} rounds of {len(self.clients)} sessions on {what}:")
        print(f"  first round: p99 {p99([outcome.seconds for outcome in self.rounds[0]])}")
        print(f"  then: p99 {p99(later)}" if later else "")
        for code, count in codes.most_common():
            print(f"  {code or 'success'}: {count:,}")


@pytest.fixture(scope="module")
def sessions(module_database_url: str) -> Iterator[list[Session]]:
    """All of them, and one more."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(psycopg.connect(module_database_url, autocommit=True))
            for _ in range(SESSIONS + 1)
        ]
        for session in opened:
            set_clock(session)
        yield opened


@pytest.fixture
def salon(sessions: list[Session]) -> Salon:
    """A salon in the module's database."""
    return make_salon(sessions[-1])


@pytest.fixture
def crowd(salon: Salon, sessions: list[Session]) -> Iterator[Crowd]:
    """Everybody. At the end nothing differs, and there was no deadlock."""
    crowd = Crowd(salon, sessions[:SESSIONS])
    deadlocks_before = crowd.deadlocks()
    yield crowd
    assert crowd.deadlocks() == deadlocks_before
    assert salon.differences() == []


def winners(outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.answer.success]


def test_of_64_sessions_that_reserve_one_slot_one_succeeds(salon: Salon, crowd: Crowd) -> None:
    slot = salon.slot(salon.cut)["slot_id"]
    for _ in range(ROUNDS):
        won = winners(crowd.rush([slot]))
        assert len(won) == 1
        crowd.release(won)
    crowd.report("one slot")


@pytest.fixture
def overlapping_slots(salon: Salon) -> dict[UUID, tuple[int, int]]:
    """Eight slots of one person, of eight lengths, each overlapping its neighbours: by id, their
    minutes after ten."""
    slots = {}
    for number, minutes in enumerate((20, 25, 35, 40, 50, 55, 70, 90)):
        type_id = salon.insert(
            "appointment_types",
            code=f"of {minutes}",
            name=f"{minutes} minutes",
            duration_minutes=minutes,
        )
        salon.db.execute(
            "insert into booking.staff_appointment_types"
            " (tenant_id, staff_id, appointment_type_id) values (%s, %s, %s)",
            (salon.tenant, salon.person, type_id),
        )
        start = 15 * number
        slot = salon.slot(type_id, TEN + timedelta(minutes=start))["slot_id"]
        slots[slot] = (start, start + minutes)
    return slots


def test_of_64_sessions_on_8_overlapping_slots_no_two_that_overlap_succeed(
    crowd: Crowd, overlapping_slots: dict[UUID, tuple[int, int]]
) -> None:
    def collide(one: UUID, other: UUID) -> bool:
        start, end = overlapping_slots[one]
        other_start, other_end = overlapping_slots[other]
        return start < other_end and other_start < end

    for _ in range(ROUNDS):
        outcomes = crowd.rush(list(overlapping_slots))
        taken = [outcome.slot_id for outcome in winners(outcomes)]
        assert taken
        assert not any(
            collide(one, other) for number, one in enumerate(taken) for other in taken[:number]
        )
        # Nobody was refused for nothing, either.
        for outcome in outcomes:
            if outcome.answer.code == "slot_taken":
                assert any(collide(outcome.slot_id, each) for each in taken)
        crowd.release(winners(outcomes))
    crowd.report("8 overlapping slots")


def test_of_64_sessions_that_reserve_a_class_of_10_seats_10_succeed(
    salon: Salon, crowd: Crowd
) -> None:
    slot = salon.slot(salon.course)["slot_id"]
    for _ in range(ROUNDS):
        won = winners(crowd.rush([slot]))
        assert sorted(outcome.answer.body["seat"] for outcome in won) == list(range(1, 11))
        crowd.release(won)
    crowd.report("a class of 10")


@pytest.mark.parametrize("free", [1, 3, 8])
def test_of_64_sessions_that_reserve_one_time_as_many_succeed_as_people_are_free(
    salon: Salon, crowd: Crowd, free: int
) -> None:
    people = {salon.person, *(salon.add_person() for _ in range(free - 1))}
    busy = salon.add_person()
    salon.appointment(TEN, staff_id=busy)
    assert free_at_ten(salon) == free
    for _ in range(max(1, ROUNDS // 3)):
        won = [answer for answer in crowd.rush_for_anybody() if answer.success]
        assert sorted(answer.body["staff_id"] for answer in won) == sorted(map(str, people))
        assert free_at_ten(salon) == 0
        salon.db.execute(
            "delete from booking.slot_reservations where tenant_id = %s", (salon.tenant,)
        )
        assert free_at_ten(salon) == free


def free_at_ten(salon: Salon) -> int:
    """How many people the listing counts then."""
    answer = Api(salon.db).call(
        "get_available_times",
        tenant_id=salon.tenant,
        start_date=TEN.date(),
        end_date=TEN.date(),
        appointment_type="cut",
    )
    return sum(
        time["free_staff"]
        for time in answer.body["times"]
        if datetime.fromisoformat(time["start_time"]) == TEN
    )
