"""idempotency_key: the same request books once, however often and by however many it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.api import SERVICE, Answer, Api, Caller
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    OTHER_SESSION,
    SESSION,
    appointment,
    assert_refused,
    audit_rows,
    book,
    call,
    changes_since,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
)
from tests.salon import TEN, Salon, make_salon, set_clock

Session = psycopg.Connection[Any]
KEY = "order-1815"


def count_of_appointments(salon: Salon) -> int:
    """How many appointments there are, of all tenants."""
    return len(rows(salon, "select from booking.appointments"))


def works(salon: Salon, appointment_id: UUID, token: str) -> bool:
    """Whether a manage token opens an appointment (a move to where it is changes nothing)."""
    answer = call(
        salon,
        "reschedule_appointment",
        appointment_id=appointment_id,
        slot_id=appointment(salon, appointment_id)["slot_id"],
        manage_token=token,
    )
    assert answer.success or answer.code == "not_found", answer
    return answer.success


def test_the_same_request_gets_the_same_appointment_and_a_new_token(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    first = create(salon, slot, idempotency_key=KEY, notes="Short, please").body
    again = create(salon, slot, idempotency_key=KEY, notes="Short, please").body
    old, new = first.pop("manage_token"), again.pop("manage_token")
    assert again == first
    assert old != new
    number = UUID(first["appointment_id"])
    assert works(salon, number, new)
    assert not works(salon, number, old)
    assert count_of_appointments(salon) == 1
    assert salon.differences() == []


def test_a_replay_writes_nothing_but_the_token(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    before = everything(salon)
    assert create(salon, booking.slot, idempotency_key=KEY).success
    (change,) = changes_since(salon, before)
    assert change.startswith(f"appointments {booking.appointment}: manage_token_hash ")
    assert ", " not in change, "and no other column"


def test_the_order_of_keys_in_user_data_does_not_matter(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    reordered = dict(reversed(ADAS_DATA.items()))
    answer = create(salon, booking.slot, user_data=reordered, idempotency_key=KEY)
    assert answer.body["appointment_id"] == str(booking.appointment)


def test_nor_whether_the_tenant_is_named(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    answer = create(salon, booking.slot, idempotency_key=KEY, tenant_id=salon.tenant)
    assert answer.body["appointment_id"] == str(booking.appointment)


OTHER_BODIES: dict[str, dict[str, Any]] = {
    "another name": {"user_data": ADAS_DATA | {"name": "Ada King"}},
    "one more key": {"user_data": ADAS_DATA | {"locale": "en"}},
    "notes": {"notes": "Long, please"},
    "another session": {"session_id": OTHER_SESSION},
    "another service": {"appointment_type": "course"},
}


@pytest.mark.parametrize("body", OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_another_body_is_a_conflict(salon: Salon, body: dict[str, Any]) -> None:
    booking = book(salon, idempotency_key=KEY)
    before = everything(salon)
    answer = create(salon, booking.slot, idempotency_key=KEY, **body)
    assert_refused(answer, "idempotency_conflict", 409)
    assert changes_since(salon, before) == []
    assert works(salon, booking.appointment, booking.token), "the token is as good as it was"


def test_another_slot_is_a_conflict_and_stays_held(salon: Salon) -> None:
    book(salon, idempotency_key=KEY)
    later = slot_at(salon, TEN + timedelta(hours=1))
    reserve(salon, later)
    before = everything(salon)
    assert_refused(create(salon, later, idempotency_key=KEY), "idempotency_conflict", 409)
    assert changes_since(salon, before) == []
    assert create(salon, later, idempotency_key="another").success


def test_without_a_key_nothing_is_replayed(salon: Salon) -> None:
    booking = book(salon)
    assert_refused(create(salon, booking.slot), "reservation_expired", 409)


def test_a_refused_request_does_not_use_its_key_up(salon: Salon) -> None:
    slot = slot_at(salon)
    assert_refused(create(salon, slot, idempotency_key=KEY), "reservation_expired", 409)
    reserve(salon, slot)
    assert create(salon, slot, idempotency_key=KEY).success


# Per tenant and per caller


def test_each_caller_has_keys_of_their_own(salon: Salon) -> None:
    numbers = set()
    for hour, caller in enumerate([ADA, BOB, SERVICE]):
        slot = slot_at(salon, TEN + timedelta(hours=hour))
        reserve(salon, slot)
        answer = create(salon, slot, caller, idempotency_key=KEY)
        assert answer.success, answer
        numbers.add(answer.body["appointment_id"])
    assert len(numbers) == 3


@pytest.mark.parametrize("caller", [BOB, SERVICE], ids=["another customer", "the service"])
def test_another_caller_cannot_replay_it(salon: Salon, caller: Caller) -> None:
    booking = book(salon, idempotency_key=KEY)
    before = everything(salon)
    answer = create(salon, booking.slot, caller, idempotency_key=KEY)
    assert_refused(answer, "reservation_expired", 409)
    assert changes_since(salon, before) == []
    assert works(salon, booking.appointment, booking.token)


def test_nor_does_a_replay_touch_another_callers_equal_booking(salon: Salon) -> None:
    slot = slot_at(salon, type_id=salon.course)
    request = {"appointment_type": "course", "idempotency_key": KEY}
    seats = [book(salon, slot, caller, **request) for caller in (ADA, BOB)]
    answer = create(salon, slot, ADA, **request)
    assert answer.body["appointment_id"] == str(seats[0].appointment)
    assert works(salon, seats[1].appointment, seats[1].token)


@pytest.mark.parametrize("caller", [ADA, SERVICE], ids=["a customer", "guests"])
def test_each_tenant_has_keys_of_its_own(salon: Salon, caller: Caller) -> None:
    other = make_salon(salon.db)
    first = book(salon, caller=caller, idempotency_key=KEY)
    second = book(other, caller=caller, idempotency_key=KEY)
    assert first.appointment != second.appointment
    for tenant, booking in ((salon, first), (other, second)):
        answer = create(tenant, booking.slot, caller, idempotency_key=KEY)
        assert answer.body["appointment_id"] == str(booking.appointment)
    assert count_of_appointments(salon) == 2
    assert salon.differences() == other.differences() == []


# What has become of the appointment since


def test_a_replay_after_a_cancellation_says_so_and_books_nothing(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    call(
        salon,
        "cancel_appointment",
        appointment_id=booking.appointment,
        manage_token=booking.token,
    )
    answer = create(salon, booking.slot, idempotency_key=KEY)
    assert answer.body["appointment_id"] == str(booking.appointment)
    assert answer.body["status"] == "cancelled"
    assert salon.available(salon.cut)
    assert count_of_appointments(salon) == 1
    assert salon.differences() == []


def test_a_replay_after_a_move_tells_the_new_time(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    assert call(
        salon,
        "reschedule_appointment",
        ADA,
        appointment_id=booking.appointment,
        slot_id=slot_at(salon, TEN + timedelta(hours=1)),
    ).success
    answer = create(salon, booking.slot, idempotency_key=KEY)
    assert answer.body["appointment_id"] == str(booking.appointment)
    assert answer.body["start_time"] == "2026-03-03T10:00:00Z"
    assert works(salon, booking.appointment, answer.body["manage_token"])


def test_a_replay_finds_the_appointment_though_its_slot_has_no_row_any_more(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    salon.db.execute("delete from booking.working_hours")
    assert rows(salon, "select from booking.availability_slots") == []
    answer = create(salon, booking.slot, idempotency_key=KEY)
    assert answer.body["appointment_id"] == str(booking.appointment)


def test_a_replay_long_after_the_hold_ended_is_answered(salon: Salon) -> None:
    booking = book(salon, idempotency_key=KEY)
    set_clock(salon.db, "2026-04-01 12:00+02")
    answer = create(salon, booking.slot, idempotency_key=KEY)
    assert answer.body["appointment_id"] == str(booking.appointment)


def test_a_replay_waits_for_nobody_who_is_writing_the_calendar(
    salon: Salon, other: Session
) -> None:
    booking = book(salon, idempotency_key=KEY)
    with salon.db.transaction():
        salon.appointment(TEN + timedelta(hours=2))
        answer = api_create(other, booking.slot)
    assert answer.body["appointment_id"] == str(booking.appointment)


# Two at once


@pytest.fixture
def other(connect: Callable[[], Session], salon: Salon) -> Session:
    """A second session with the same clock."""
    session = connect()
    set_clock(session)
    return session


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Where the second session's call waits."""
    with ThreadPoolExecutor() as executor:
        yield executor


def api_create(session: Session, slot: UUID, caller: Caller = ADA, **more: Any) -> Answer:
    """The request of these tests, sent by another session."""
    return Api(session).call(
        "create_appointment",
        caller,
        slot_id=slot,
        user_data=ADAS_DATA,
        appointment_type="cut",
        session_id=SESSION,
        idempotency_key=KEY,
        **more,
    )


Meanwhile = Callable[[UUID], "Future[Answer]"]


@pytest.fixture
def meanwhile(
    other: Session, background: ThreadPoolExecutor, wait_until_blocked: Callable[[int], None]
) -> Meanwhile:
    """Sends the request in the other session and returns when it waits for a lock."""

    def send(slot: UUID) -> Future[Answer]:
        answer = background.submit(api_create, other, slot)
        wait_until_blocked(other.info.backend_pid)
        return answer

    return send


def test_two_equal_requests_at_once_book_once(salon: Salon, meanwhile: Meanwhile) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    with salon.db.transaction():
        first = create(salon, slot, idempotency_key=KEY)
        waiting = meanwhile(slot)
    second = waiting.result()
    assert first.success, first
    assert second.success, second
    assert second.body["appointment_id"] == first.body["appointment_id"]
    assert count_of_appointments(salon) == 1
    number = UUID(first.body["appointment_id"])
    assert works(salon, number, second.body["manage_token"])
    assert not works(salon, number, first.body["manage_token"])
    assert salon.differences() == []


def test_the_second_books_where_the_first_gives_up(salon: Salon, meanwhile: Meanwhile) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    with salon.db.transaction(force_rollback=True):
        first = create(salon, slot, idempotency_key=KEY)
        waiting = meanwhile(slot)
    second = waiting.result()
    assert second.success, second
    assert second.body["appointment_id"] != first.body["appointment_id"]
    assert count_of_appointments(salon) == 1
    assert holds(salon) == []
    assert salon.differences() == []


def test_of_two_different_requests_at_once_one_is_a_conflict(
    salon: Salon, meanwhile: Meanwhile
) -> None:
    colleague = salon.add_person()
    slots = [slot_at(salon), slot_at(salon, TEN + timedelta(hours=1), person=colleague)]
    for slot in slots:
        reserve(salon, slot)
    with salon.db.transaction():
        first = create(salon, slots[0], idempotency_key=KEY)
        waiting = meanwhile(slots[1])
    assert first.success, first
    assert_refused(waiting.result(), "idempotency_conflict", 409)
    assert count_of_appointments(salon) == 1
    assert [hold["slot_id"] for hold in holds(salon)] == [slots[1]], "and keeps its hold"
    assert len(audit_rows(salon)) == 4, "one row for each call, tried twice or not"
    assert salon.differences() == []


def test_and_is_booked_where_the_other_gives_up(salon: Salon, meanwhile: Meanwhile) -> None:
    colleague = salon.add_person()
    slots = [slot_at(salon), slot_at(salon, TEN + timedelta(hours=1), person=colleague)]
    for slot in slots:
        reserve(salon, slot)
    with salon.db.transaction(force_rollback=True):
        create(salon, slots[0], idempotency_key=KEY)
        waiting = meanwhile(slots[1])
    assert waiting.result().success
    assert [hold["slot_id"] for hold in holds(salon)] == [slots[0]]
    assert salon.differences() == []


def test_the_same_key_in_another_tenant_waits_for_nobody(salon: Salon, other: Session) -> None:
    elsewhere = make_salon(salon.db)
    slot, slot_elsewhere = slot_at(salon), slot_at(elsewhere)
    reserve(salon, slot)
    reserve(elsewhere, slot_elsewhere)
    other.execute("set statement_timeout = '5s'")
    with salon.db.transaction():
        # The service, whose calls are not counted: one client's calls wait for each other.
        assert create(salon, slot, SERVICE, idempotency_key=KEY).success
        assert api_create(other, slot_elsewhere, SERVICE).success
    assert count_of_appointments(salon) == 2
