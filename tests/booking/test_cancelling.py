"""cancel_appointment: the time is free at once, who did it and why is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api import ANON, SERVICE, Answer, Caller, member
from tests.booking.booked import (
    ADA,
    BOB,
    SESSION,
    Booking,
    admin_of,
    appointment,
    assert_refused,
    book,
    call,
    changes_since,
    everything,
    reserve,
    rows,
    slot_at,
    staff_of,
    user_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

NOW = datetime.fromisoformat("2026-03-02 07:00+01:00")


@pytest.fixture
def booking(salon: Salon) -> Booking:
    """Ada's cut at ten."""
    return book(salon)


def cancel(salon: Salon, booking: Booking, caller: Caller = ADA, **arguments: Any) -> Answer:
    """Cancel a booking, or be refused."""
    return call(
        salon, "cancel_appointment", caller, appointment_id=booking.appointment, **arguments
    )


def assert_stays(
    salon: Salon, booking: Booking, code: str, status: int, caller: Caller = ADA, **arguments: Any
) -> None:
    """The cancellation is refused and leaves everything as it is."""
    before = everything(salon)
    assert_refused(cancel(salon, booking, caller, **arguments), code, status)
    assert changes_since(salon, before) == []


def test_a_cancelled_appointment_is_kept_and_its_time_is_free(
    salon: Salon, booking: Booking
) -> None:
    before = appointment(salon, booking.appointment)
    answer = cancel(salon, booking, reason="ill")
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "appointment_id": str(booking.appointment),
            "status": "cancelled",
            "message": "The appointment is cancelled.",
        },
    )
    after = appointment(salon, booking.appointment)
    changed = {column for column, value in before.items() if after[column] != value}
    assert changed <= {"status", "cancelled_at", "cancelled_by", "cancel_reason", "updated_at"}
    assert (after["status"], after["cancel_reason"]) == ("cancelled", "ill")
    assert (after["cancelled_at"], after["cancelled_by"]) == (NOW, user_of(ADA))
    assert salon.available(salon.cut)
    assert salon.differences() == []
    reserve(salon, booking.slot)


def test_a_reason_may_be_missing_or_long(salon: Salon) -> None:
    for hour, reason in enumerate([None, "", "ä" * 1000]):
        booking = book(salon, slot_at(salon, TEN + timedelta(hours=hour)))
        assert cancel(salon, booking, reason=reason).success
        assert appointment(salon, booking.appointment)["cancel_reason"] == reason


def test_but_not_longer(salon: Salon, booking: Booking) -> None:
    assert_stays(salon, booking, "invalid_request", 400, reason="r" * 1001)


def test_a_seat_in_a_class_is_free_again(salon: Salon) -> None:
    slot = slot_at(salon, type_id=salon.course)
    seat = book(salon, slot, appointment_type="course")
    for _ in range(9):
        salon.insert("appointments", **salon.slot(salon.course))
    assert not salon.available(salon.course)
    assert cancel(salon, seat).success
    assert salon.available(salon.course)
    assert salon.differences() == []
    assert reserve(salon, slot, appointment_type="course").body["seat"] == 1


# Who may


def its_customer(salon: Salon) -> Caller:
    """Ada, who booked."""
    return ADA


def the_service(salon: Salon) -> Caller:
    """The server's own key."""
    return SERVICE


CALLERS: dict[str, Callable[[Salon], Caller]] = {
    "its customer": its_customer,
    "the person whose calendar it is": staff_of,
    "an admin": admin_of,
    "the service": the_service,
}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_it_can_be_cancelled_by(
    salon: Salon, booking: Booking, caller: Callable[[Salon], Caller]
) -> None:
    by = caller(salon)
    assert cancel(salon, booking, by).success
    cancelled = appointment(salon, booking.appointment)
    assert cancelled["cancelled_by"] == (user_of(by) if "sub" in by.claims else None)
    assert cancelled["cancelled_at"] == NOW
    assert salon.differences() == []


@pytest.mark.parametrize("caller", [ANON, BOB], ids=["anonymous", "signed in as another"])
def test_it_can_be_cancelled_with_its_token(salon: Salon, booking: Booking, caller: Caller) -> None:
    assert cancel(salon, booking, caller, manage_token=booking.token).success
    cancelled = appointment(salon, booking.appointment)
    assert cancelled["cancelled_by"] == (user_of(BOB) if caller is BOB else None)
    assert salon.differences() == []


def test_a_guests_booking_is_cancelled_by_its_token_alone(salon: Salon) -> None:
    guests = book(salon, caller=SERVICE)
    assert_stays(salon, guests, "not_found", 404)
    assert cancel(salon, guests, ANON, manage_token=guests.token).success


def test_nobody_in_particular_is_not_authenticated(salon: Salon, booking: Booking) -> None:
    assert_stays(salon, booking, "not_authenticated", 401, ANON)


def test_to_strangers_it_does_not_exist(salon: Salon, booking: Booking) -> None:
    elsewhere = make_salon(salon.db)
    another = book(elsewhere)
    strangers: dict[str, tuple[Caller, dict[str, Any]]] = {
        "another customer": (BOB, {}),
        "a wrong token": (ANON, {"manage_token": "0" * 64}),
        "an empty token": (ANON, {"manage_token": ""}),
        "the token of another appointment": (ANON, {"manage_token": another.token}),
        "another customer with a wrong token": (BOB, {"manage_token": another.token}),
        "another tenant's admin": (admin_of(elsewhere), {}),
        "another tenant's staff": (staff_of(elsewhere), {}),
        "another tenant's admin who names it": (admin_of(elsewhere), {"tenant_id": salon.tenant}),
        "its customer, naming another tenant": (ADA, {"tenant_id": elsewhere.tenant}),
        "a member without a role": (member(uuid4(), salon.tenant, "customer"), {}),
    }
    missing = cancel(salon, Booking(uuid4(), booking.token, booking.slot), BOB)
    assert_refused(missing, "not_found", 404)
    for who, (caller, arguments) in strangers.items():
        before = everything(salon)
        assert cancel(salon, booking, caller, **arguments) == missing, who
        assert changes_since(salon, before) == [], who


def test_a_colleagues_appointment_is_not_ones_to_cancel(salon: Salon, booking: Booking) -> None:
    for person in (salon.add_person(), None):
        caller = member(uuid4(), salon.tenant, "staff", person)
        assert_stays(salon, booking, "forbidden", 403, caller)


def test_unless_one_is_its_customer_or_has_its_token(salon: Salon) -> None:
    colleague = member(uuid4(), salon.tenant, "staff", salon.add_person())
    assert cancel(salon, book(salon, caller=colleague), colleague).success
    booking = book(salon)
    assert cancel(salon, booking, colleague, manage_token=booking.token).success


# When


def test_notice_binds_customers_and_not_staff(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 120")
    set_clock(salon.db, "2026-03-03 08:00:00.000001+01")
    assert_stays(salon, booking, "too_late", 409)
    assert_stays(salon, booking, "too_late", 409, ANON, manage_token=booking.token)
    assert cancel(salon, booking).body["message"] == (
        "The appointment begins at 2026-03-03T09:00:00Z and can be changed until 120 minutes"
        " before."
    )
    assert cancel(salon, booking, staff_of(salon)).success
    assert salon.differences() == []


@pytest.mark.parametrize("caller", [admin_of, the_service])
def test_nor_does_it_bind_admins_and_the_service(
    salon: Salon, booking: Booking, caller: Callable[[Salon], Caller]
) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 10080")
    assert_stays(salon, booking, "too_late", 409)
    assert cancel(salon, booking, caller(salon)).success


def test_who_is_staff_elsewhere_is_a_customer_here(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 10080")
    elsewhere = member(user_of(ADA), make_salon(salon.db).tenant, "admin")
    assert_stays(salon, booking, "too_late", 409, elsewhere)


def test_until_it_is_so_near(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 120")
    set_clock(salon.db, "2026-03-03 08:00+01")
    assert cancel(salon, booking).success


def test_a_customer_can_cancel_until_it_begins(salon: Salon, booking: Booking) -> None:
    set_clock(salon.db, "2026-03-03 10:00:00.000001+01")
    assert_stays(salon, booking, "too_late", 409)
    set_clock(salon.db, "2026-03-03 10:00+01")
    assert cancel(salon, booking).success


@pytest.mark.parametrize("status", ["cancelled", "completed", "no_show"])
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_what_is_over_or_cancelled_stays_as_it_is(
    salon: Salon, booking: Booking, caller: Callable[[Salon], Caller], status: str
) -> None:
    set_clock(salon.db, "2026-03-03 10:00+01")
    salon.db.execute("update booking.appointments set status = %s", (status,))
    assert_stays(salon, booking, "invalid_status", 409, caller(salon), reason="another")


def test_the_first_reason_stays(salon: Salon, booking: Booking) -> None:
    cancel(salon, booking, reason="ill", manage_token=booking.token)
    set_clock(salon.db, "2026-03-02 08:00+01")
    cancel(salon, booking, staff_of(salon), reason="no show")
    cancelled = appointment(salon, booking.appointment)
    assert (cancelled["cancel_reason"], cancelled["cancelled_at"]) == ("ill", NOW)


def test_a_payment_stays_as_it_is(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set price_cents = 4000, requires_payment = true"
    )
    booking = book(salon)
    assert call(
        salon,
        "record_payment",
        SERVICE,
        appointment_id=booking.appointment,
        payment_status="paid",
        payment_reference="ref-1",
    ).success
    assert cancel(salon, booking).success
    assert appointment(salon, booking.appointment)["payment_status"] == "paid"


def test_a_hold_of_the_same_session_is_left_alone(salon: Salon, booking: Booking) -> None:
    later = slot_at(salon, TEN + timedelta(hours=1))
    reserve(salon, later, SESSION)
    assert cancel(salon, booking).success
    held = rows(salon, "select slot_id from booking.slot_reservations")
    assert [row["slot_id"] for row in held] == [later]
