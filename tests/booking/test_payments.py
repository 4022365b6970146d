"""Services that are paid in advance: the price, record_payment, and what is not paid in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer
from tests.booking.booked import (
    ADA,
    Booking,
    add_service,
    admin_of,
    appointment,
    assert_refused,
    audit_rows,
    book,
    call,
    changes_since,
    create,
    events,
    everything,
    reserve,
    rows,
    slot_at,
)
from tests.salon import TEN, Salon, make_salon, set_clock

NOW = datetime.fromisoformat("2026-03-02 07:00+01:00")
PAYMENT_URL = "https://pay.example.org/{appointment_id}?amount={amount_cents}&in={currency}"
BEFORE_IT_IS_DUE = "2026-03-02 07:29:59.999999+01"
WHEN_IT_IS_DUE = "2026-03-02 07:30+01"


def charge(salon: Salon, price_cents: int = 4000) -> None:
    """Let the cut cost something, to be paid in advance."""
    salon.db.execute(
        "update booking.appointment_types set price_cents = %s, requires_payment = true"
        " where id = %s",
        (price_cents, salon.cut),
    )


def pay(salon: Salon, booking: Booking, status: str = "paid", reference: str = "ref-1") -> Answer:
    """Tell of a payment, as the service does."""
    return call(
        salon,
        "record_payment",
        SERVICE,
        appointment_id=booking.appointment,
        payment_status=status,
        payment_reference=reference,
    )


@pytest.fixture
def unpaid(salon: Salon) -> Booking:
    """A booking that waits for its payment."""
    charge(salon)
    return book(salon)


# The price


def test_a_booking_to_be_paid_is_pending_until_then_and_takes_its_time(salon: Salon) -> None:
    charge(salon)
    salon.db.execute("update booking.tenants set payment_url_template = %s", (PAYMENT_URL,))
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = create(salon, slot)
    number = answer.body["appointment_id"]
    assert (
        answer.body.items()
        >= {
            "status": "pending",
            "price_cents": 4000,
            "currency": "EUR",
            "payment_required": True,
            "payment_due_at": "2026-03-02T06:30:00Z",
            "payment_url": f"https://pay.example.org/{number}?amount=4000&in=EUR",
        }.items()
    )
    booked = appointment(salon, UUID(number))
    assert (booked["status"], booked["payment_status"]) == ("pending", "pending")
    assert booked["payment_due_at"] == NOW + timedelta(minutes=30)
    assert not salon.available(salon.cut)
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment()
    assert salon.differences() == []


def test_the_tenant_says_how_long_it_waits(salon: Salon) -> None:
    charge(salon)
    salon.db.execute("update booking.tenants set payment_due_minutes = 90")
    due = appointment(salon, book(salon).appointment)["payment_due_at"]
    assert due == NOW + timedelta(minutes=90)


def test_without_a_template_there_is_no_payment_url(salon: Salon) -> None:
    charge(salon)
    slot = slot_at(salon)
    reserve(salon, slot)
    body = create(salon, slot).body
    assert (body["payment_required"], body["payment_url"]) == (True, None)


@pytest.mark.parametrize(("price_cents", "requires_payment"), [(0, True), (4000, False)])
def test_what_is_free_or_paid_on_the_spot_is_confirmed_at_once(
    salon: Salon, price_cents: int, requires_payment: bool
) -> None:
    salon.db.execute("update booking.tenants set payment_url_template = %s", (PAYMENT_URL,))
    salon.db.execute(
        "update booking.appointment_types set price_cents = %s, requires_payment = %s",
        (price_cents, requires_payment),
    )
    slot = slot_at(salon)
    reserve(salon, slot)
    body = create(salon, slot).body
    booked = appointment(salon, UUID(body["appointment_id"]))
    assert (body["payment_required"], body["payment_due_at"]) == (False, None)
    assert (body["status"], body["payment_url"]) == ("confirmed", None)
    assert (booked["payment_status"], booked["price_cents"]) == ("not_required", price_cents)


def test_the_price_is_the_one_that_was_quoted(salon: Salon) -> None:
    charge(salon, 4000)
    slot = slot_at(salon)
    assert reserve(salon, slot).body["price_cents"] == 4000
    salon.db.execute("update booking.appointment_types set price_cents = 5000, currency = 'CHF'")
    body = create(salon, slot).body
    assert (body["price_cents"], body["currency"]) == (4000, "EUR")


@pytest.mark.parametrize("named", [None, "shave"], ids=["no service", "another service"])
def test_without_a_quote_for_this_service_it_is_the_price_of_now(
    salon: Salon, named: str | None
) -> None:
    charge(salon, 4000)
    add_service(salon, "shave", price_cents=1500)
    slot = slot_at(salon)
    reserve(salon, slot, appointment_type=named)
    salon.db.execute(
        "update booking.appointment_types set price_cents = 5000, currency = 'CHF'"
        " where code = 'cut'"
    )
    body = create(salon, slot).body
    assert (body["price_cents"], body["currency"]) == (5000, "CHF")


def test_a_replayed_booking_asks_for_payment_as_long_as_it_is_due(salon: Salon) -> None:
    charge(salon)
    salon.db.execute("update booking.tenants set payment_url_template = %s", (PAYMENT_URL,))
    booking = book(salon, idempotency_key="key")

    def asks_for_payment() -> bool:
        body = create(salon, booking.slot, idempotency_key="key").body
        assert (body["payment_url"] is not None) == body["payment_required"]
        return bool(body["payment_required"])

    assert asks_for_payment()
    pay(salon, booking, "failed", "first attempt")
    assert asks_for_payment(), "a failed payment can be tried again"
    pay(salon, booking, "paid", "second attempt")
    assert not asks_for_payment()


def test_and_not_once_it_is_cancelled(salon: Salon) -> None:
    charge(salon)
    salon.db.execute("update booking.tenants set payment_url_template = %s", (PAYMENT_URL,))
    booking = book(salon, idempotency_key="key")
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    body = create(salon, booking.slot, idempotency_key="key").body
    assert (body["payment_required"], body["payment_url"]) == (False, None)


def test_a_move_changes_neither_price_nor_payment(salon: Salon, unpaid: Booking) -> None:
    salon.db.execute("update booking.appointment_types set price_cents = 5000")
    before = appointment(salon, unpaid.appointment)
    answer = call(
        salon,
        "reschedule_appointment",
        appointment_id=unpaid.appointment,
        slot_id=slot_at(salon, TEN + timedelta(hours=1)),
        manage_token=unpaid.token,
    )
    assert answer.success
    after = appointment(salon, unpaid.appointment)
    for column in ("price_cents", "payment_status", "payment_due_at", "status"):
        assert after[column] == before[column], column


# record_payment


def test_a_payment_confirms_what_was_pending(salon: Salon, unpaid: Booking) -> None:
    answer = pay(salon, unpaid)
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "appointment_id": str(unpaid.appointment),
            "status": "confirmed",
            "payment_status": "paid",
        },
    )
    paid = appointment(salon, unpaid.appointment)
    assert (paid["status"], paid["payment_status"]) == ("confirmed", "paid")
    assert (paid["payment_reference"], paid["payment_due_at"]) == ("ref-1", None)
    assert salon.differences() == []


STATUSES = ["not_required", "pending", "failed", "paid", "refunded"]
ALLOWED = {
    ("pending", "paid"): "confirmed",
    ("pending", "failed"): "pending",
    ("failed", "paid"): "confirmed",
    ("failed", "failed"): "pending",
    ("paid", "refunded"): "confirmed",
}


@pytest.mark.parametrize("said", ["paid", "failed", "refunded"])
@pytest.mark.parametrize("before", STATUSES)
def test_a_payment_goes_its_way_and_no_other(
    salon: Salon, unpaid: Booking, before: str, said: str
) -> None:
    salon.db.execute(
        "update booking.appointments set payment_status = %s, payment_reference = 'ref-1',"
        " status = case when %s in ('paid', 'refunded') then 'confirmed' else status end",
        (before, before),
    )
    unchanged = everything(salon)
    answer = pay(salon, unpaid, said, "ref-2")
    if (before, said) in ALLOWED:
        assert answer.success, answer
        paid = appointment(salon, unpaid.appointment)
        assert (paid["payment_status"], paid["payment_reference"]) == (said, "ref-2")
        assert paid["status"] == answer.body["status"] == ALLOWED[before, said]
        assert (paid["payment_due_at"] is None) == (said != "failed")
    else:
        assert_refused(answer, "invalid_status", 409)
        assert changes_since(salon, unchanged) == []


@pytest.mark.parametrize("said", ["paid", "failed", "refunded"])
def test_the_same_word_again_changes_nothing_and_gets_the_same_answer(
    salon: Salon, unpaid: Booking, said: str
) -> None:
    if said == "refunded":
        pay(salon, unpaid, "paid")
    first = pay(salon, unpaid, said)
    assert first.success
    before = everything(salon)
    assert pay(salon, unpaid, said) == first
    assert changes_since(salon, before) == []


def test_what_comes_late_a_second_time_changes_nothing(salon: Salon, unpaid: Booking) -> None:
    for status in ("failed", "paid", "refunded"):
        assert pay(salon, unpaid, status).success
    before = everything(salon)
    for status in ("failed", "paid"):
        assert pay(salon, unpaid, status).body["payment_status"] == "refunded"
    assert changes_since(salon, before) == []


def test_a_payment_is_known_though_its_event_has_been_kept_long_enough(
    salon: Salon, unpaid: Booking
) -> None:
    first = pay(salon, unpaid)
    salon.db.execute("delete from booking.events")
    assert pay(salon, unpaid) == first


def test_the_same_status_of_another_payment_is_another_matter(
    salon: Salon, unpaid: Booking
) -> None:
    pay(salon, unpaid)
    assert_refused(pay(salon, unpaid, reference="ref-2"), "invalid_status", 409)
    assert appointment(salon, unpaid.appointment)["payment_reference"] == "ref-1"


def test_a_payment_is_repeated_after_a_cancellation_too(salon: Salon, unpaid: Booking) -> None:
    pay(salon, unpaid)
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    answer = pay(salon, unpaid)
    assert answer.body["status"] == "cancelled"
    assert answer.body["payment_status"] == "paid"


def test_a_late_failure_of_one_attempt_does_not_undo_anothers_payment(
    salon: Salon, unpaid: Booking
) -> None:
    pay(salon, unpaid, "paid", "second attempt")
    assert_refused(pay(salon, unpaid, "failed", "first attempt"), "invalid_status", 409)
    assert appointment(salon, unpaid.appointment)["payment_status"] == "paid"


def test_what_is_cancelled_can_no_longer_be_paid(salon: Salon, unpaid: Booking) -> None:
    assert call(
        salon,
        "cancel_appointment",
        appointment_id=unpaid.appointment,
        manage_token=unpaid.token,
    ).success
    before = everything(salon)
    answer = pay(salon, unpaid)
    assert_refused(answer, "too_late", 409)
    assert answer.body["hint"] == "Pay the money back."
    assert changes_since(salon, before) == []


def test_but_what_was_paid_can_be_paid_back(salon: Salon, unpaid: Booking) -> None:
    pay(salon, unpaid)
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    assert pay(salon, unpaid, "refunded").success
    refunded = appointment(salon, unpaid.appointment)
    assert (refunded["status"], refunded["payment_status"]) == ("cancelled", "refunded")


def test_a_payment_does_not_touch_what_staff_made_of_the_appointment(
    salon: Salon, unpaid: Booking
) -> None:
    set_clock(salon.db, "2026-03-03 10:30+01")
    salon.db.execute("update booking.appointments set status = 'completed'")
    assert pay(salon, unpaid).body["status"] == "completed"


BAD_PAYMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown status": ({"payment_status": "gone"}, 'payment_status is "gone"'),
    "a status of our own": ({"payment_status": "pending"}, 'payment_status is "pending"'),
    "no reference": ({"payment_reference": None}, "payment_reference is missing"),
    "an empty reference": ({"payment_reference": ""}, 'payment_reference is ""'),
    "a long reference": ({"payment_reference": "r" * 256}, "payment_reference is 256 characters"),
    "no status": ({"payment_status": None}, "payment_status is "),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_PAYMENTS.values(), ids=BAD_PAYMENTS)
def test_a_bad_payment_is_refused(
    salon: Salon, unpaid: Booking, arguments: dict[str, Any], message: str
) -> None:
    good = {
        "appointment_id": unpaid.appointment,
        "payment_status": "paid",
        "payment_reference": "r" * 255,
    }
    before = everything(salon)
    answer = call(salon, "record_payment", SERVICE, **good | arguments)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"].startswith(message)
    assert changes_since(salon, before) == []
    assert call(salon, "record_payment", SERVICE, **good).success


def test_only_the_service_records_payments(salon: Salon, unpaid: Booking) -> None:
    before = everything(salon)
    for caller in (ANON, ADA, admin_of(salon)):
        with pytest.raises(errors.InsufficientPrivilege):
            call(
                salon,
                "record_payment",
                caller,
                appointment_id=unpaid.appointment,
                payment_status="paid",
                payment_reference="ref-1",
            )
    assert changes_since(salon, before) == []


def test_of_an_unknown_appointment_nothing_is_recorded(salon: Salon, unpaid: Booking) -> None:
    unknown = Booking(uuid4(), unpaid.token, unpaid.slot)
    assert_refused(pay(salon, unknown), "not_found", 404)


def test_nor_of_one_in_another_tenant_than_was_said(salon: Salon, unpaid: Booking) -> None:
    answer = call(
        salon,
        "record_payment",
        SERVICE,
        appointment_id=unpaid.appointment,
        payment_status="paid",
        payment_reference="ref-1",
        tenant_id=make_salon(salon.db).tenant,
    )
    assert_refused(answer, "not_found", 404)
    assert appointment(salon, unpaid.appointment)["payment_status"] == "pending"


# What is not paid in time


def release(db: psycopg.Connection[Any], most: int = 100) -> int:
    """Release what is unpaid and due; returns how many."""
    row = db.execute("select booking.release_unpaid_appointments(%s)", (most,)).fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_unpaid_when_due_is_released(salon: Salon, unpaid: Booking) -> None:
    set_clock(salon.db, WHEN_IT_IS_DUE)
    assert release(salon.db) == 1
    released = appointment(salon, unpaid.appointment)
    assert (released["status"], released["cancel_reason"]) == ("cancelled", "not paid in time")
    assert released["cancelled_at"] == NOW + timedelta(minutes=30)
    assert released["cancelled_by"] is None
    assert salon.available(salon.cut)
    assert [event["appointment_id"] for event in events(salon, "cancelled")] == [unpaid.appointment]
    assert salon.differences() == []
    assert release(salon.db) == 0
    assert_refused(pay(salon, unpaid), "too_late", 409)


def test_one_that_cannot_be_released_stops_no_other(salon: Salon, unpaid: Booking) -> None:
    set_clock(salon.db, WHEN_IT_IS_DUE)
    stuck, other = sorted([unpaid.appointment, salon.appointment(TEN + timedelta(hours=3))])
    salon.db.execute(
        "update booking.appointments set status = 'pending', payment_status = 'pending',"
        " payment_due_at = booking.now() where id = any (%s)",
        ([stuck, other],),
    )
    salon.db.execute(
        "create function booking.fail() returns trigger language plpgsql"
        " as $$ begin raise 'disk on fire'; end $$"
    )
    salon.db.execute(
        "create trigger fail before update on booking.appointments for each row"
        f" when (old.id = '{stuck}') execute function booking.fail()".encode()
    )
    assert release(salon.db, most=1) == 1
    assert appointment(salon, other)["status"] == "cancelled"
    with pytest.raises(psycopg.Error, match="disk on fire"):
        release(salon.db)


def test_each_release_is_on_record_once(salon: Salon, unpaid: Booking) -> None:
    before = len(audit_rows(salon))
    set_clock(salon.db, WHEN_IT_IS_DUE)
    release(salon.db)
    (row,) = audit_rows(salon)[before:]
    assert (row["action"], row["outcome"]) == ("release_unpaid_appointment", "success")
    assert row["tenant_id"] == salon.tenant
    assert (row["appointment_id"], row["slot_id"]) == (unpaid.appointment, unpaid.slot)
    assert (row["staff_id"], row["actor_role"]) == (salon.person, "postgres")


def test_direct_writes_after_it_in_the_same_transaction_are_audited(
    salon: Salon, unpaid: Booking
) -> None:
    set_clock(salon.db, WHEN_IT_IS_DUE)
    with salon.db.transaction():
        release(salon.db)
        salon.appointment()
    assert audit_rows(salon)[-1]["action"] == "create_appointment"


def test_not_before_it_is_due(salon: Salon, unpaid: Booking) -> None:
    set_clock(salon.db, BEFORE_IT_IS_DUE)
    assert release(salon.db) == 0
    assert pay(salon, unpaid).success


@pytest.mark.parametrize("said", ["paid", "failed"])
def test_a_failed_payment_does_not_count_and_a_paid_one_does(
    salon: Salon, unpaid: Booking, said: str
) -> None:
    pay(salon, unpaid, said)
    set_clock(salon.db, WHEN_IT_IS_DUE)
    assert release(salon.db) == (1 if said == "failed" else 0)


def test_what_staff_confirmed_or_cancelled_is_not_released(salon: Salon, unpaid: Booking) -> None:
    set_clock(salon.db, WHEN_IT_IS_DUE)
    for status in ("confirmed", "cancelled"):
        salon.db.execute("update booking.appointments set status = %s", (status,))
        assert release(salon.db) == 0


def test_what_was_paid_in_cash_is_not_released(salon: Salon, unpaid: Booking) -> None:
    salon.db.execute("update booking.appointments set payment_status = 'paid'")
    set_clock(salon.db, WHEN_IT_IS_DUE)
    assert release(salon.db) == 0


def test_one_call_releases_no_more_than_it_is_told(salon: Salon) -> None:
    charge(salon)
    for hour in range(3):
        book(salon, slot_at(salon, TEN + timedelta(hours=hour)))
    set_clock(salon.db, WHEN_IT_IS_DUE)
    assert [release(salon.db, 2) for _ in range(3)] == [2, 1, 0]
    assert salon.differences() == []


def test_one_that_is_being_paid_is_left_to_its_payment(
    salon: Salon, unpaid: Booking, connect: Callable[[], psycopg.Connection[Any]]
) -> None:
    book(salon, slot_at(salon, TEN + timedelta(hours=1)))
    other = connect()
    set_clock(other, WHEN_IT_IS_DUE)
    other.execute("set lock_timeout = '1ms'")
    with salon.db.transaction():
        assert pay(salon, unpaid).success
        assert release(other) == 1
    assert release(other) == 0
    statuses = rows(salon, "select status from booking.appointments order by start_time")
    assert [row["status"] for row in statuses] == ["confirmed", "cancelled"]
    assert salon.differences() == []


def test_a_calendar_that_is_being_written_is_left_to_the_next_call(
    salon: Salon, unpaid: Booking, connect: Callable[[], psycopg.Connection[Any]]
) -> None:
    set_clock(salon.db, WHEN_IT_IS_DUE)
    other = connect()
    set_clock(other, WHEN_IT_IS_DUE)
    other.execute("set lock_timeout = '1ms'")
    with salon.db.transaction():
        salon.appointment(TEN + timedelta(hours=1))
        assert release(other) == 0
    assert release(other) == 1
    assert salon.differences() == []
