"""Staff-side booking: appointments written by hand, at any time and of any length, without a slot.

That they cannot overlap is test_live_appointments_never_overlap.py, that the slots follow them is
test_slots_follow_raw_writes.py, and that they are on record is test_audit_log.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    OTHER_SESSION,
    SESSION,
    appointment,
    assert_refused,
    book,
    call,
    create,
    direct_connection,
    events,
    holds,
    reserve,
    slot_at,
    staff_of,
    user_of,
)
from tests.salon import TEN, Salon, set_clock

NOW = datetime.fromisoformat("2026-03-02 07:00+01:00")


@pytest.mark.parametrize(
    ("start", "minutes"),
    [
        ("2026-03-03 10:07+01", 1),
        ("2026-03-03 10:07:30+01", 33),
        ("2026-03-03 16:45+01", 300),
        ("2026-03-04 03:00+01", 60),
        ("2026-03-03 08:00+01", 60 * 24 * 3),
        ("2026-03-02 05:00+01", 30),
        ("2027-03-02 05:00+01", 30),
    ],
    ids=[
        "off the grid",
        "off the minute",
        "past closing time",
        "at night",
        "three days",
        "in the past",
        "beyond the horizon",
    ],
)
def test_any_time_and_any_length_will_do(salon: Salon, start: str, minutes: int) -> None:
    number = salon.appointment(datetime.fromisoformat(start), minutes)
    written = appointment(salon, number)
    assert (written["slot_id"], written["shape_id"], written["seat"]) == (None, None, 1)
    assert (written["status"], written["source"]) == ("confirmed", "direct")
    assert salon.differences() == []


def test_nor_does_it_need_hours_or_an_offer(salon: Salon) -> None:
    salon.db.execute("delete from booking.working_hours")
    salon.db.execute("delete from booking.staff_appointment_types")
    salon.appointment()
    assert salon.differences() == []


def test_it_hides_what_it_overlaps_and_nothing_else(salon: Salon) -> None:
    salon.appointment(TEN + timedelta(minutes=7), minutes=20)
    offered = [
        minutes
        for minutes in range(-45, 75, 15)
        if salon.available(salon.cut, TEN + timedelta(minutes=minutes))
    ]
    assert offered == [-45, -30, 30, 45, 60]


def test_its_customer_can_cancel_it(salon: Salon) -> None:
    number = salon.appointment(customer_id=user_of(ADA))
    assert_refused(call(salon, "cancel_appointment", BOB, appointment_id=number), "not_found", 404)
    assert call(salon, "cancel_appointment", ADA, appointment_id=number).success
    assert salon.available(salon.cut)
    assert salon.differences() == []


def test_it_wins_over_a_hold_whose_session_then_books_in_vain(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    later = slot_at(salon, TEN + timedelta(hours=1))
    reserve(salon, later, OTHER_SESSION)
    with direct_connection(salon, staff_of(salon)):
        salon.appointment(TEN + timedelta(minutes=29), minutes=1)
    assert [hold["slot_id"] for hold in holds(salon)] == [later]
    assert_refused(create(salon, slot), "reservation_expired", 409)
    held = call(salon, "get_reservations", session_id=SESSION)
    assert held.body["reservations"] == []
    assert salon.differences() == []
    assert create(salon, later, session_id=OTHER_SESSION).success


def test_a_seat_written_by_hand_wins_over_the_hold_of_that_seat_alone(salon: Salon) -> None:
    slot = slot_at(salon, type_id=salon.course)
    for number in range(10):
        reserve(salon, slot, f"session-number-{number}", appointment_type="course")
    salon.db.execute(
        "update booking.slot_reservations set expires_at = booking.now() where seat = 10"
    )
    salon.insert("appointments", **salon.slot(salon.course))
    seats = sorted(hold["seat"] for hold in holds(salon))
    assert seats == list(range(1, 10)), "the tenth seat was free, though its row was still there"
    assert salon.differences() == []


def test_a_booked_appointment_can_be_moved_to_any_time_by_hand(salon: Salon) -> None:
    booking = book(salon)
    with direct_connection(salon, staff_of(salon)):
        salon.db.execute(
            "update booking.appointments set start_time = start_time - interval '7 minutes',"
            " end_time = end_time + interval '7 minutes'"
        )
    moved = appointment(salon, booking.appointment)
    assert (moved["slot_id"], moved["customer"]) == (None, ADAS_DATA)
    assert salon.differences() == []
    answer = call(
        salon,
        "reschedule_appointment",
        appointment_id=booking.appointment,
        slot_id=booking.slot,
        manage_token=booking.token,
    )
    assert answer.success, "and back into its slot by its customer"
    assert appointment(salon, booking.appointment)["slot_id"] == booking.slot
    assert salon.differences() == []


def test_a_booked_appointment_that_is_deleted_frees_its_slot(salon: Salon) -> None:
    booking = book(salon)
    salon.db.execute("delete from booking.appointments")
    reserve(salon, booking.slot)
    assert salon.differences() == []


# Statuses


def set_status(salon: Salon, status: str, more: str = "") -> None:
    """Give every appointment that status, by hand."""
    salon.db.execute(f"update booking.appointments set status = '{status}' {more}".encode())


@pytest.fixture
def number(salon: Salon) -> UUID:
    """A confirmed appointment at ten."""
    return salon.appointment()


@pytest.mark.parametrize("status", ["completed", "no_show"])
def test_what_has_not_begun_is_neither_completed_nor_missed(
    salon: Salon, number: UUID, status: str
) -> None:
    set_clock(salon.db, "2026-03-03 09:59:59.999999+01")
    with pytest.raises(
        errors.CheckViolation,
        match=f'status cannot become "{status}": the appointment begins at 2026-03-03T09:00:00Z',
    ):
        set_status(salon, status)
    set_clock(salon.db, "2026-03-03 10:00+01")
    set_status(salon, status)
    assert appointment(salon, number)["status"] == status
    assert not salon.available(salon.cut), "its time was taken all the same"
    assert salon.differences() == []


@pytest.mark.parametrize("status", ["completed", "no_show"])
def test_what_is_cancelled_is_neither_completed_nor_missed(
    salon: Salon, number: UUID, status: str
) -> None:
    set_clock(salon.db, "2026-03-03 11:00+01")
    set_status(salon, "cancelled")
    with pytest.raises(errors.CheckViolation, match="the appointment is cancelled"):
        set_status(salon, status)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("completed", "no_show"),
        ("no_show", "completed"),
        ("completed", "confirmed"),
        ("no_show", "cancelled"),
        ("confirmed", "pending"),
        ("pending", "completed"),
    ],
)
def test_staff_correct_a_status(salon: Salon, number: UUID, one: str, other: str) -> None:
    set_clock(salon.db, "2026-03-03 11:00+01")
    set_status(salon, one)
    set_status(salon, other)
    assert appointment(salon, number)["status"] == other
    assert salon.differences() == []


def test_a_status_unheard_of_is_refused(salon: Salon, number: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="status_is_known"):
        set_status(salon, "maybe")


def test_who_cancelled_and_when_is_kept(salon: Salon, number: UUID) -> None:
    caller = staff_of(salon)
    with direct_connection(salon, caller):
        set_status(
            salon,
            "cancelled",
            ", cancel_reason = 'ill', cancelled_at = '2000-01-01',"
            " cancelled_by = gen_random_uuid()",
        )
    cancelled = appointment(salon, number)
    assert (cancelled["cancelled_at"], cancelled["cancelled_by"]) == (NOW, user_of(caller))
    assert cancelled["cancel_reason"] == "ill"
    assert salon.available(salon.cut)
    assert salon.differences() == []


def test_where_nobody_is_signed_in_the_writer_says_who(salon: Salon, number: UUID) -> None:
    who = uuid4()
    set_status(salon, "cancelled", f", cancelled_by = '{who}'")
    assert appointment(salon, number)["cancelled_by"] == who


def test_what_is_booked_again_was_never_cancelled(salon: Salon, number: UUID) -> None:
    set_status(salon, "cancelled", ", cancel_reason = 'ill'")
    set_status(salon, "confirmed")
    again = appointment(salon, number)
    for column in ("cancelled_at", "cancelled_by", "cancel_reason"):
        assert again[column] is None, column
    assert [event["kind"] for event in events(salon)] == ["booked", "cancelled", "booked"]
    assert not salon.available(salon.cut)
    assert salon.differences() == []


def test_other_changes_leave_the_cancellation_alone(salon: Salon, number: UUID) -> None:
    set_status(salon, "cancelled", ", cancel_reason = 'ill'")
    set_clock(salon.db, "2026-03-02 08:00+01")
    salon.db.execute("update booking.appointments set notes = 'called', status = 'cancelled'")
    cancelled = appointment(salon, number)
    assert (cancelled["cancelled_at"], cancelled["cancel_reason"]) == (NOW, "ill")
