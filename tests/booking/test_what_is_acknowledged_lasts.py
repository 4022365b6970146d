"""What is acknowledged is on disk (promise P7): nothing here lets a transaction be told that it is
committed before it is. The servers of these tests say so themselves, tests/faults kills one that
does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tests.booking.booked import SESSION, book, call, create, reserve, slot_at
from tests.salon import TEN, Salon


@contextmanager
def commit_is_as_asked(salon: Salon) -> Iterator[None]:
    """What is done in one transaction leaves synchronous_commit as the session has set it."""
    salon.db.execute("set synchronous_commit = on")
    with salon.db.transaction():
        yield
        assert salon.db.execute("show synchronous_commit").fetchone() == ("on",)


def test_no_call_changes_how_its_transaction_is_committed(salon: Salon) -> None:
    first, second, third = (slot_at(salon, TEN + timedelta(hours=hours)) for hours in (0, 1, 2))
    with commit_is_as_asked(salon):
        assert reserve(salon, first).success
    with commit_is_as_asked(salon):
        assert create(salon, first).success
    with commit_is_as_asked(salon):
        assert reserve(salon, second).success
        assert call(salon, "release_slot", slot_id=second, session_id=SESSION).success
    booking = book(salon, second)
    known: dict[str, Any] = {"appointment_id": booking.appointment, "manage_token": booking.token}
    with commit_is_as_asked(salon):
        assert call(salon, "reschedule_appointment", slot_id=third, **known).success
    with commit_is_as_asked(salon):
        assert call(salon, "cancel_appointment", **known).success
    with commit_is_as_asked(salon):
        assert call(salon, "cancel_appointment", **known).code == "invalid_status"


def test_no_write_by_hand_changes_how_its_transaction_is_committed(salon: Salon) -> None:
    with commit_is_as_asked(salon):
        salon.appointment()
    with commit_is_as_asked(salon):
        salon.hold(salon.cut, TEN + timedelta(hours=1))
    with commit_is_as_asked(salon):
        salon.db.execute("update booking.working_hours set end_time = '16:00'")
    with commit_is_as_asked(salon):
        salon.db.execute("update booking.appointments set status = 'cancelled'")
    with commit_is_as_asked(salon):
        salon.db.execute("update booking.tenants set slot_step_minutes = 20")
