"""events: what happened is told once, in the transaction in which it happened, to its consumers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.api import SERVICE
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    SESSION,
    Booking,
    book,
    call,
    create,
    events,
    reserve,
    rows,
    slot_at,
)
from tests.salon import TEN, Salon, make_salon, set_clock

Session = psycopg.Connection[Any]
NOW = datetime.fromisoformat("2026-03-02 07:00+01:00")
ELEVEN = TEN + timedelta(hours=1)


def kinds(salon: Salon) -> list[str]:
    """The kinds of the tenant's events, oldest first."""
    return [event["kind"] for event in events(salon)]


def payload(salon: Salon, **changes: object) -> dict[str, object]:
    """What an event about the cut at ten says."""
    return {
        "status": "confirmed",
        "start_time": "2026-03-03T09:00:00Z",
        "end_time": "2026-03-03T09:30:00Z",
        "staff_id": str(salon.person),
        "location_id": str(salon.location),
        "appointment_type_id": str(salon.cut),
        "payment_status": "not_required",
        "price_cents": 0,
        "currency": "EUR",
        "source": "api",
    } | changes


# Told once


def test_a_booking_is_told_once(salon: Salon) -> None:
    booking = book(salon)
    (event,) = events(salon)
    assert (
        event.items()
        >= {
            "kind": "booked",
            "appointment_id": booking.appointment,
            "payload": payload(salon),
            "created_at": NOW,
            "processed_at": None,
        }.items()
    )


def test_a_move_is_told_once_with_where_it_came_from(salon: Salon) -> None:
    booking = book(salon)
    colleague = salon.add_person()
    slot = slot_at(salon, ELEVEN, person=colleague)
    for _ in range(2):
        assert call(
            salon,
            "reschedule_appointment",
            ADA,
            appointment_id=booking.appointment,
            slot_id=slot,
        ).success
    (event,) = events(salon, "moved")
    assert event["appointment_id"] == booking.appointment
    assert event["payload"] == payload(
        salon,
        start_time="2026-03-03T10:00:00Z",
        end_time="2026-03-03T10:30:00Z",
        staff_id=str(colleague),
    ) | {
        "from": {
            "start_time": "2026-03-03T09:00:00Z",
            "end_time": "2026-03-03T09:30:00Z",
            "staff_id": str(salon.person),
            "location_id": str(salon.location),
        }
    }
    assert kinds(salon) == ["booked", "moved"]


def test_a_cancellation_is_told_once(salon: Salon) -> None:
    booking = book(salon)
    for _ in range(2):
        call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment)
    (event,) = events(salon, "cancelled")
    assert event["appointment_id"] == booking.appointment
    assert event["payload"] == payload(salon, status="cancelled")
    assert kinds(salon) == ["booked", "cancelled"]


def test_a_payment_is_told_once(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set price_cents = 4000, requires_payment = true"
    )
    booking = book(salon)
    for status in ("failed", "failed", "paid", "paid", "refunded"):
        call(
            salon,
            "record_payment",
            SERVICE,
            appointment_id=booking.appointment,
            payment_status=status,
            payment_reference="ref-1",
        )
    assert kinds(salon) == ["booked", "payment", "payment", "payment"]
    told = [event["payload"] for event in events(salon, "payment")]
    assert [(said["payment_status"], said["status"]) for said in told] == [
        ("failed", "pending"),
        ("paid", "confirmed"),
        ("refunded", "confirmed"),
    ]
    assert told[1] == payload(
        salon, price_cents=4000, payment_status="paid", payment_reference="ref-1"
    )


def test_a_replayed_booking_is_not_told_again(salon: Salon) -> None:
    booking = book(salon, idempotency_key="key")
    assert create(salon, booking.slot, idempotency_key="key").success
    assert kinds(salon) == ["booked"]


def test_what_is_refused_held_or_released_is_not_told(salon: Salon) -> None:
    booking = book(salon)
    later = slot_at(salon, ELEVEN)
    reserve(salon, later, caller=BOB)
    assert not create(salon, later, ADA, session_id=None).success
    assert not call(salon, "cancel_appointment", BOB, appointment_id=booking.appointment).success
    assert not call(
        salon,
        "reschedule_appointment",
        BOB,
        appointment_id=booking.appointment,
        slot_id=later,
    ).success
    call(salon, "release_slot", slot_id=later, session_id=SESSION)
    assert kinds(salon) == ["booked"]


def test_nothing_of_the_customer_is_in_the_payload(salon: Salon) -> None:
    book(salon, notes="a note")
    (row,) = rows(salon, "select e::text as row from booking.events e")
    for secret in [*ADAS_DATA.values(), "a note"]:
        assert secret not in row["row"]


# Direct writes


DIRECT = {
    "a move": (
        "update booking.appointments set start_time = start_time - interval '5 minutes'",
        ["moved"],
    ),
    "a longer stay": (
        "update booking.appointments set end_time = end_time + interval '5 minutes'",
        ["moved"],
    ),
    "a cancellation": ("update booking.appointments set status = 'cancelled'", ["cancelled"]),
    "a cancellation that moves it": (
        "update booking.appointments set status = 'cancelled',"
        " start_time = start_time - interval '5 minutes'",
        ["cancelled"],
    ),
    "a payment": (
        "update booking.appointments set payment_status = 'paid', payment_reference = 'cash'",
        ["payment"],
    ),
    "a paid move": (
        "update booking.appointments set payment_status = 'paid',"
        " start_time = start_time - interval '5 minutes'",
        ["moved", "payment"],
    ),
    "notes": ("update booking.appointments set notes = 'called', price_cents = 7", []),
    "a status": ("update booking.appointments set status = 'pending'", []),
    "nothing": ("update booking.appointments set start_time = start_time", []),
    "a buffer": ("update booking.appointments set buffer_after_minutes = 5", []),
}


@pytest.mark.parametrize(("change", "expected"), DIRECT.values(), ids=DIRECT)
def test_a_direct_write_is_told_like_any_other(
    salon: Salon, change: str, expected: list[str]
) -> None:
    number = salon.appointment()
    (booked,) = events(salon)
    assert (booked["kind"], booked["appointment_id"]) == ("booked", number)
    assert booked["payload"] == payload(salon, source="direct")
    salon.db.execute(change.encode())
    assert sorted(kinds(salon)[1:]) == expected


def test_each_appointment_of_a_statement_is_told(salon: Salon) -> None:
    numbers = {salon.appointment(TEN + timedelta(hours=hour)) for hour in range(3)}
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    told = events(salon, "cancelled")
    assert len(told) == 3
    assert {event["appointment_id"] for event in told} == numbers


def test_moving_what_is_cancelled_is_not_told(salon: Salon) -> None:
    salon.appointment(status="cancelled")
    salon.db.execute("update booking.appointments set start_time = start_time - interval '1 min'")
    assert kinds(salon) == []


def test_what_comes_from_another_system_was_told_there(salon: Salon) -> None:
    salon.appointment(source="import", external_id="4711")
    assert kinds(salon) == []
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    assert kinds(salon) == ["cancelled"], "but not what happens to it here"


def test_the_past_is_not_told(salon: Salon) -> None:
    set_clock(salon.db, "2026-03-03 10:30+01")
    salon.appointment()
    salon.db.execute("update booking.appointments set start_time = start_time - interval '1 min'")
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    assert kinds(salon) == []


def test_what_is_going_on_or_moved_out_of_the_past_is(salon: Salon) -> None:
    set_clock(salon.db, "2026-03-03 10:29+01")
    salon.appointment()
    set_clock(salon.db, "2026-03-03 10:30+01")
    salon.db.execute(
        "update booking.appointments set start_time = start_time + interval '1 day',"
        " end_time = end_time + interval '1 day'"
    )
    assert kinds(salon) == ["booked", "moved"]


def test_what_is_moved_into_the_past_is(salon: Salon) -> None:
    salon.appointment()
    salon.db.execute(
        "update booking.appointments set start_time = start_time - interval '2 days',"
        " end_time = end_time - interval '2 days'"
    )
    assert kinds(salon) == ["booked", "moved"]


def test_each_tenant_is_told_of_its_own(salon: Salon) -> None:
    other = make_salon(salon.db)
    book(salon)
    assert kinds(salon) == ["booked"]
    assert kinds(other) == []


# In the same transaction


def test_what_is_rolled_back_was_never_told(salon: Salon) -> None:
    booking = book(salon)
    with salon.db.transaction(force_rollback=True):
        assert call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment).success
        salon.db.execute("reset role")
        salon.appointment(ELEVEN)
        assert kinds(salon) == ["booked", "cancelled", "booked"]
    assert kinds(salon) == ["booked"]


def test_nobody_sees_an_event_before_its_appointment(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    other = connect()
    taken = "select id from booking.take_events()"
    with salon.db.transaction():
        salon.appointment()
        assert other.execute(taken).fetchall() == []
    assert len(other.execute(taken).fetchall()) == 1


def test_where_the_event_cannot_be_written_nothing_is_booked(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.db.execute("alter table booking.events add constraint none check (false) not valid")
    with pytest.raises(errors.CheckViolation):
        create(salon, slot)
    assert rows(salon, "select from booking.appointments") == []


# Reminders


def queue_reminders(db: Session) -> int:
    """Queue what is due; returns how many."""
    row = db.execute("select booking.queue_reminders()").fetchone()
    assert row is not None
    return int(row[0])


def reminders(salon: Salon) -> list[tuple[UUID, str]]:
    """Of which appointments was reminded, and of which start."""
    return [
        (event["appointment_id"], event["payload"]["start_time"])
        for event in events(salon, "reminder_due")
    ]


def test_a_reminder_is_due_once_for_each_start(salon: Salon) -> None:
    booking = book(salon)
    set_clock(salon.db, "2026-03-02 09:59:59.999999+01")
    assert queue_reminders(salon.db) == 0
    set_clock(salon.db, "2026-03-02 10:00+01")
    assert queue_reminders(salon.db) == 1
    assert queue_reminders(salon.db) == 0
    (event,) = events(salon, "reminder_due")
    assert event["appointment_id"] == booking.appointment
    assert event["payload"].items() <= payload(salon).items()
    assert {"status", "start_time", "end_time", "staff_id"} <= event["payload"].keys()


def test_a_moved_appointment_is_reminded_of_again(salon: Salon) -> None:
    booking = book(salon)
    salon.db.execute("update booking.tenants set reminder_minutes = 2880")
    assert queue_reminders(salon.db) == 1
    for slot in (slot_at(salon, ELEVEN), booking.slot):
        assert call(
            salon,
            "reschedule_appointment",
            ADA,
            appointment_id=booking.appointment,
            slot_id=slot,
        ).success
        queue_reminders(salon.db)
        queue_reminders(salon.db)
    assert reminders(salon) == [
        (booking.appointment, "2026-03-03T09:00:00Z"),
        (booking.appointment, "2026-03-03T10:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("update booking.appointments set status = 'cancelled'", 0),
        ("update booking.appointments set status = 'pending'", 1),
        ("update booking.tenants set reminder_minutes = 0", 0),
        ("update booking.tenants set is_active = false", 0),
        ("update booking.appointments set notes = 'called'", 1),
    ],
)
def test_reminders_are_for_what_will_take_place(salon: Salon, change: str, expected: int) -> None:
    salon.appointment()
    salon.db.execute(change.encode())
    set_clock(salon.db, "2026-03-03 09:59+01")
    assert queue_reminders(salon.db) == expected


def test_what_has_begun_is_not_reminded_of(salon: Salon) -> None:
    salon.appointment()
    set_clock(salon.db, "2026-03-03 10:00+01")
    assert queue_reminders(salon.db) == 0


def test_each_tenant_has_its_own_notice(salon: Salon) -> None:
    other = make_salon(salon.db)
    salon.db.execute(
        "update booking.tenants set reminder_minutes = 60 where id = %s", (other.tenant,)
    )
    salon.appointment()
    other.appointment()
    set_clock(salon.db, "2026-03-02 10:00+01")
    assert queue_reminders(salon.db) == 1
    assert reminders(other) == []
    set_clock(salon.db, "2026-03-03 09:00+01")
    assert queue_reminders(salon.db) == 1
    assert len(reminders(other)) == 1


def test_two_at_once_remind_once(
    salon: Salon, connect: Callable[[], Session], wait_until_blocked: Callable[[int], None]
) -> None:
    salon.appointment()
    set_clock(salon.db, "2026-03-03 09:00+01")
    other = connect()
    set_clock(other, "2026-03-03 09:00+01")
    with ThreadPoolExecutor() as background:
        with salon.db.transaction():
            assert queue_reminders(salon.db) == 1
            second = background.submit(queue_reminders, other)
            wait_until_blocked(other.info.backend_pid)
        assert second.result() == 0
    assert len(reminders(salon)) == 1


# Consumers


@pytest.fixture
def bookings(salon: Salon) -> list[Booking]:
    """Four bookings, a minute apart."""
    made = []
    for number in range(4):
        set_clock(salon.db, f"2026-03-02 07:0{number}+01")
        made.append(book(salon, slot_at(salon, TEN + timedelta(hours=number))))
    return made


@pytest.fixture
def other(connect: Callable[[], Session]) -> Session:
    """A second consumer, that waits for nobody."""
    session = connect()
    set_clock(session)
    session.execute("set lock_timeout = '1ms'")
    return session


def take(db: Session, most: int = 100, tenant: UUID | None = None) -> list[dict[str, Any]]:
    """Take events, as a consumer does."""
    cursor = db.execute("select * from booking.take_events(%s, %s)", (most, tenant))
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def finish(db: Session, taken: list[dict[str, Any]]) -> int:
    """Mark events as handled; returns how many."""
    row = db.execute(
        "select booking.finish_events(%s, %s)",
        ([event["tenant_id"] for event in taken], [event["id"] for event in taken]),
    ).fetchone()
    assert row is not None
    return int(row[0])


def appointments_of(taken: list[dict[str, Any]]) -> list[UUID]:
    """The appointments that events are about."""
    return [event["appointment_id"] for event in taken]


def test_a_consumer_gets_the_oldest_with_the_customer_of_now(
    salon: Salon, bookings: list[Booking]
) -> None:
    salon.db.execute(
        'update booking.appointments set customer = \'{"name": "Ada King"}\' where id = %s',
        (bookings[0].appointment,),
    )
    taken = take(salon.db, 2)
    assert appointments_of(taken) == [booking.appointment for booking in bookings[:2]]
    assert [event["customer"] for event in taken] == [{"name": "Ada King"}, ADAS_DATA]
    event = events(salon)[0]
    for column in ("tenant_id", "id", "kind", "created_at", "payload"):
        assert taken[0][column] == event[column], column


def test_two_consumers_skip_each_others_events(
    salon: Salon, bookings: list[Booking], other: Session
) -> None:
    with salon.db.transaction(), other.transaction():
        mine = take(salon.db, 2)
        theirs = take(other, 100)
        assert appointments_of(mine + theirs) == [booking.appointment for booking in bookings]
        assert len(mine) == 2
        assert take(other, 100) == theirs, "one's own stay in one's hands"
        assert finish(salon.db, mine) == finish(other, theirs) == 2
    assert take(salon.db) == []
    assert {event["processed_at"] for event in events(salon)} == {
        datetime.fromisoformat("2026-03-02 07:03+01:00"),
        NOW,
    }


def test_what_a_consumer_left_unfinished_comes_again(
    salon: Salon, bookings: list[Booking], other: Session
) -> None:
    with other.transaction(force_rollback=True):
        assert finish(other, take(other)) == 4
    with other.transaction():
        assert finish(other, take(other)[:3]) == 3
    assert appointments_of(take(salon.db)) == [bookings[3].appointment]


def test_finishing_twice_counts_once(salon: Salon, bookings: list[Booking]) -> None:
    taken = take(salon.db)
    assert finish(salon.db, taken) == 4
    first = [event["processed_at"] for event in events(salon)]
    set_clock(salon.db, "2026-03-02 08:00+01")
    assert finish(salon.db, taken) == 0
    assert [event["processed_at"] for event in events(salon)] == first


def test_an_event_is_finished_by_tenant_and_id(salon: Salon, bookings: list[Booking]) -> None:
    other = make_salon(salon.db)
    (event, *_) = take(salon.db)
    assert finish(salon.db, [event | {"tenant_id": other.tenant}]) == 0
    assert len(take(salon.db)) == 4


def test_a_consumer_can_ask_for_one_tenant(salon: Salon, bookings: list[Booking]) -> None:
    other = make_salon(salon.db)
    number = other.appointment()
    assert appointments_of(take(salon.db, 100, other.tenant)) == [number]
    assert len(take(salon.db, 100, salon.tenant)) == 4
    assert len(take(salon.db, 100)) == 5


def test_bookers_do_not_wait_for_a_consumer(
    salon: Salon, bookings: list[Booking], other: Session
) -> None:
    salon.db.execute("set lock_timeout = '1ms'")
    with other.transaction():
        assert len(take(other)) == 4
        for booking in bookings:
            assert call(
                salon, "cancel_appointment", ADA, appointment_id=booking.appointment
            ).success
