"""What clients were told can be true; and the checker of that finds what cannot.

PGBOOKING_HISTORY_SECONDS says for how long they work; `make history` runs longer and kills servers.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import psycopg
import pytest

from pgbooking import verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.faults.history import CUT_OFF, Call, Slot, violations
from tests.faults.history_clients import Harm, run

SECONDS = float(os.environ.get("PGBOOKING_HISTORY_SECONDS", "5"))

CLOCKS_CHANGE = datetime(2026, 3, 28, 9, tzinfo=UTC)


@pytest.mark.parametrize("starts_at", [None, CLOCKS_CHANGE])
def test_what_clients_were_told_can_be_true(database_url: str, starts_at: datetime | None) -> None:
    result = run(database_url, Harm(0.3, starts_at), SECONDS, seed=1, clients=8)
    print(result.summary())
    with psycopg.connect(database_url, autocommit=True) as db:
        assert result.broken(db) == []
    now = result.ended_at
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        assert verify.verify(connection, bar, independent=True).differences == 0
    assert {
        ("reserve_slot", "success"),
        ("create_appointment", "success"),
        ("read", "success"),
    } <= {(call.function, call.outcome) for call in result.calls}


def test_what_was_acknowledged_and_is_not_there_is_found(database_url: str) -> None:
    result = run(database_url, Harm(0.3), 2, seed=1, clients=4)
    with psycopg.connect(database_url, autocommit=True) as db:
        assert list(result.lost(db)) == []
        [(cancelled,), (renamed,)] = db.execute(
            "select idempotency_key from booking.appointments where status <> 'cancelled' limit 2"
        ).fetchall()
        change = "update booking.appointments set {} where idempotency_key = %s"
        db.execute(change.format("status = 'cancelled'").encode(), (cancelled,))
        db.execute(change.format("idempotency_key = 'another'").encode(), (renamed,))
        found = " ".join(result.lost(db))
    assert f"{cancelled} is at " in found
    assert f"{renamed} was acknowledged and is gone" in found
    assert "nobody has booked another" in found


# Two slots that overlap, one beside them, and a class of two. Instants are seconds.
TEN, HALF_PAST, ELEVEN, COURSE = SLOTS = [
    Slot("ten", "Ada", "cut", 1000, 1000, 1030, 1),
    Slot("half past", "Ada", "cut", 1015, 1015, 1045, 1),
    Slot("eleven", "Ada", "cut", 1060, 1060, 1090, 1),
    Slot("course", "Ada", "course", 1100, 1100, 1160, 2),
]


def call(
    function: str,
    slot: Slot | None,
    began: float,
    outcome: str = "success",
    *,
    by: str = "a",
    ended: float | None = None,
    appointment: str | None = None,
) -> Call:
    return Call(
        0,
        function,
        by,
        began,
        ended or began + 1,
        outcome,
        slot=slot.id if slot else None,
        appointment=appointment,
        expires_at=began + 60,
    )


def reserve(slot: Slot, began: float, outcome: str = "success", *, by: str = "a") -> Call:
    return call("reserve_slot", slot, began, outcome, by=by)


def book(slot: Slot, began: float, outcome: str = "success") -> Call:
    return call("create_appointment", slot, began, outcome, appointment="x")


def look(began: float, *shown: Slot) -> Call:
    return Call(
        0, "read", "", began, began + 1, "success",
        staff="Ada", shown=frozenset(each.id for each in shown),
    )  # fmt: skip


POSSIBLE = {
    "one after the other": [reserve(TEN, 0), reserve(HALF_PAST, 70, by="b")],
    "at the same time as it was released": [
        reserve(TEN, 0),
        call("release_slot", TEN, 5, ended=9),
        reserve(HALF_PAST, 6, by="b"),
    ],
    "one's own gives way": [reserve(TEN, 0), reserve(HALF_PAST, 5), reserve(TEN, 10)],
    "refused while somebody held it": [
        reserve(TEN, 0),
        reserve(HALF_PAST, 10, "slot_taken", by="b"),
    ],
    "refused for a call that was cut off": [
        reserve(TEN, 0, CUT_OFF),
        reserve(TEN, 10, "slot_taken", by="b"),
    ],
    "booked, moved, and taken by another": [
        reserve(TEN, 0),
        book(TEN, 5),
        call("reschedule_appointment", ELEVEN, 10, appointment="x"),
        reserve(HALF_PAST, 15, by="b"),
        look(20, COURSE),
    ],
    "two in a class of two": [reserve(COURSE, 0), reserve(COURSE, 5, by="b")],
    "expired": [reserve(TEN, 0), book(TEN, 70, "reservation_expired")],
}

IMPOSSIBLE = {
    "taken twice": [reserve(TEN, 0), reserve(HALF_PAST, 10, by="b")],
    "refused, though it was free": [
        reserve(TEN, 0),
        call("release_slot", TEN, 5),
        reserve(TEN, 10, "slot_taken", by="b"),
    ],
    "booked without a hold": [reserve(TEN, 0), book(TEN, 70)],
    "not booked, though it was held": [reserve(TEN, 0), book(TEN, 10, "reservation_expired")],
    "shown, though taken": [reserve(TEN, 0), book(TEN, 5), look(70, TEN, ELEVEN, COURSE)],
    "not shown, though free": [look(0, TEN, HALF_PAST, ELEVEN)],
    "not released": [reserve(TEN, 0), call("release_slot", TEN, 5, "not_found")],
    "3 seats taken": [
        reserve(COURSE, 0),
        reserve(COURSE, 5, by="b"),
        reserve(COURSE, 10, by="c"),
    ],
    "refused, though it held 1": [reserve(TEN, 0), reserve(ELEVEN, 5, "hold_limit_reached")],
    "not to be expected": [reserve(TEN, 0, "slot_not_found")],
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_the_checker_accepts_what_can_be(name: str) -> None:
    assert list(violations(SLOTS, POSSIBLE[name], 60)) == []


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_the_checker_finds_what_cannot_be(name: str) -> None:
    [found] = violations(SLOTS, IMPOSSIBLE[name], 60)
    assert found.startswith(name)
