"""A salon that lets nobody book more than two appointments ahead
(tenants.max_open_appointments_per_customer). Two at once: tests/concurrency.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from tests.api import SERVICE, Answer, Caller
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    SESSION,
    admin_of,
    assert_refused,
    call,
    changes_since,
    create,
    direct_connection,
    everything,
    holds,
    reserve,
    slot_at,
    user_of,
)
from tests.booking.conftest import at
from tests.salon import Salon, make_salon, set_clock

EMAIL = {"name": "Grete", "email": "grete@example.org"}
PHONE = {"name": "Grete", "phone": "+49 170 555-12 34"}
BOTH = EMAIL | PHONE

CLOCKS = ("09:00", "10:00", "11:00", "12:00")


@pytest.fixture
def strict(salon: Salon) -> Salon:
    """At most two."""
    return limited(salon, 2)


def limited(salon: Salon, most: int | None) -> Salon:
    salon.db.execute(
        "update booking.tenants set max_open_appointments_per_customer = %s where id = %s",
        (most, salon.tenant),
    )
    return salon


def books(
    salon: Salon,
    clock: str,
    caller: Caller = ADA,
    data: object = ADAS_DATA,
    day: int = 3,
    key: str | None = None,
) -> Answer:
    """Holds and books a cut at that time of 3 March, or is refused."""
    slot = slot_at(salon, at(clock, day))
    reserve(salon, slot, caller=caller)
    return create(salon, slot, caller, user_data=data, idempotency_key=key)


def codes(salon: Salon, caller: Caller = ADA, *data: object) -> list[str | None]:
    """Books at nine, ten, and so on, each time with other data."""
    return [
        books(salon, clock, caller, each).code for clock, each in zip(CLOCKS, data, strict=False)
    ]


def written(salon: Salon, start: datetime, **columns: object) -> UUID:
    """An appointment of Ada's, by hand."""
    row: dict[str, Any] = {"customer_id": user_of(ADA)}
    return salon.appointment(start, **(row | columns))


def test_the_third_is_refused_and_changes_nothing(strict: Salon) -> None:
    assert books(strict, "09:00").success
    assert books(strict, "10:00").success
    slot = slot_at(strict, at("11:00"))
    reserve(strict, slot, caller=ADA)
    before = everything(strict)
    answer = create(strict, slot)
    assert_refused(answer, "customer_limit_reached", 409)
    assert answer.body["message"] == (
        "This customer has 2 open appointments here already; no more than 2 can be booked ahead."
    )
    assert answer.body["hint"] == "Cancel one of them, or book again once one of them is over."
    assert changes_since(strict, before) == []
    assert len(holds(strict)) == 1


def test_it_is_on_record(strict: Salon) -> None:
    for clock in ("09:00", "10:00", "11:00"):
        books(strict, clock)
    row = strict.db.execute(
        "select outcome, code, actor_id from booking.audit_log"
        " where action = 'create_appointment' order by ctid desc limit 1"
    ).fetchone()
    assert row == ("refused", "customer_limit_reached", user_of(ADA))


def test_without_a_limit_there_is_none(salon: Salon) -> None:
    assert codes(salon, ADA, *[ADAS_DATA] * 4) == [None] * 4


def test_one_at_a_time(salon: Salon) -> None:
    limited(salon, 1)
    assert books(salon, "09:00").success
    answer = books(salon, "10:00")
    assert str(answer.body["message"]).startswith("This customer has 1 open appointment here")


def test_a_lowered_limit_takes_nothing_away(salon: Salon) -> None:
    assert codes(salon, ADA, *[ADAS_DATA] * 3) == [None] * 3
    limited(salon, 2)
    answer = books(salon, "12:00")
    assert answer.body["message"] == (
        "This customer has 3 open appointments here already; no more than 2 can be booked ahead."
    )


# What counts


@pytest.mark.parametrize(
    ("columns", "counts"),
    [
        ({"status": "confirmed"}, True),
        ({"status": "pending"}, True),
        ({"status": "cancelled"}, False),
        ({"customer_id": user_of(BOB)}, False),
        ({"customer_id": None}, False),
        # A guest's with the same address is not the user's.
        ({"customer_id": None, "customer": Jsonb(ADAS_DATA)}, False),
    ],
    ids=str,
)
def test_of_appointments_that_lie_ahead(
    salon: Salon, columns: dict[str, object], counts: bool
) -> None:
    limited(salon, 1)
    written(salon, at("14:00"), **columns)
    assert books(salon, "09:00").code == ("customer_limit_reached" if counts else None)


@pytest.mark.parametrize(
    ("clock", "status", "counts"),
    [
        ("14:29:59", "confirmed", True),
        ("14:30", "confirmed", False),
        ("14:10", "completed", False),
        ("14:10", "no_show", False),
    ],
)
def test_what_is_over_counts_no_more(salon: Salon, clock: str, status: str, counts: bool) -> None:
    limited(salon, 1)
    ada = written(salon, at("14:00"))
    set_clock(salon.db, f"2026-03-03 {clock}+01")
    salon.db.execute("update booking.appointments set status = %s where id = %s", (status, ada))
    expected = "customer_limit_reached" if counts else None
    assert books(salon, "09:00", day=4).code == expected
    salon.db.execute(
        "update booking.appointments set customer_id = null, customer = %s where id = %s",
        (Jsonb(EMAIL), ada),
    )
    assert books(salon, "10:00", SERVICE, EMAIL, day=4).code == expected


def test_another_tenants_do_not_count(strict: Salon) -> None:
    neighbour = limited(make_salon(strict.db), 2)
    for caller, data in ((ADA, ADAS_DATA), (SERVICE, EMAIL)):
        for clock in ("09:00", "10:00"):
            day = 3 if caller is ADA else 4
            assert books(neighbour, clock, caller, data, day).success
            assert books(strict, clock, caller, data, day).success
        assert books(strict, "11:00", caller, data).code == "customer_limit_reached"


def test_a_user_is_known_by_their_id_whatever_they_say(strict: Salon) -> None:
    said = [ADAS_DATA, EMAIL, PHONE]
    assert codes(strict, ADA, *said) == [None, None, "customer_limit_reached"]
    assert books(strict, "12:00", BOB, ADAS_DATA).success


def test_once_one_is_cancelled_another_can_be_booked(strict: Salon) -> None:
    first = books(strict, "09:00")
    assert books(strict, "10:00").success
    assert books(strict, "11:00").code == "customer_limit_reached"
    assert call(
        strict, "cancel_appointment", ADA, appointment_id=first.body["appointment_id"]
    ).success
    assert create(strict, slot_at(strict, at("11:00"))).success


def test_a_move_is_no_new_booking(strict: Salon) -> None:
    first = books(strict, "09:00")
    assert books(strict, "10:00").success
    assert call(
        strict,
        "reschedule_appointment",
        ADA,
        appointment_id=first.body["appointment_id"],
        slot_id=slot_at(strict, at("15:00")),
    ).success


def test_the_tenant_may_write_more_by_hand(strict: Salon) -> None:
    assert codes(strict, ADA, *[ADAS_DATA] * 2) == [None, None]
    with direct_connection(strict, admin_of(strict)):
        written(strict, at("14:00"))
    assert books(strict, "15:00").code == "customer_limit_reached"


# Guests, for whom the service books


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        (EMAIL, EMAIL, True),
        (EMAIL, EMAIL | {"name": "G.", "email": "Grete@Example.ORG"}, True),
        (BOTH, EMAIL, True),
        (EMAIL, EMAIL | {"email": "g@example.org"}, False),
        # Of one family with one telephone.
        (BOTH, BOTH | {"email": "greta@example.org"}, False),
        (PHONE, PHONE, True),
        (PHONE, PHONE | {"phone": "+49 (170) 555.1234"}, True),
        (PHONE, PHONE | {"phone": "0170 5551234"}, False),
        (PHONE, EMAIL, False),
        (PHONE, PHONE | {"email": None}, True),
    ],
    ids=str,
)
def test_a_guest_is_known_by_email_or_without_one_by_phone(
    salon: Salon, first: dict[str, str], second: dict[str, str | None], are_one: bool
) -> None:
    limited(salon, 1)
    expected = "customer_limit_reached" if are_one else None
    assert codes(salon, SERVICE, first, second) == [None, expected]


def test_what_was_noted_at_the_counter_counts_for_the_guest(salon: Salon) -> None:
    limited(salon, 1)
    salon.appointment(at("14:00"), customer=Jsonb({"email": "  GRETE@example.org "}))
    assert books(salon, "09:00", SERVICE, EMAIL).code == "customer_limit_reached"


def test_with_any_colleague(salon: Salon) -> None:
    limited(salon, 1)
    ben = salon.add_person()
    salon.appointment(at("14:00"), staff_id=ben, customer=Jsonb(EMAIL))
    written(salon, at("15:00"), staff_id=ben)
    assert books(salon, "09:00", SERVICE, EMAIL).code == "customer_limit_reached"
    assert books(salon, "10:00").code == "customer_limit_reached"


def test_what_users_say_of_themselves_does_not_count_for_guests(salon: Salon) -> None:
    limited(salon, 1)
    assert books(salon, "09:00", BOB, EMAIL).success
    assert books(salon, "10:00", SERVICE, EMAIL).success


# Asked again


@pytest.mark.parametrize(("caller", "data"), [(ADA, ADAS_DATA), (SERVICE, EMAIL)])
def test_the_same_request_again_is_no_new_booking(
    salon: Salon, caller: Caller, data: dict[str, str]
) -> None:
    limited(salon, 1)
    slot = slot_at(salon, at("09:00"))
    reserve(salon, slot, caller=caller)
    first = create(salon, slot, caller, user_data=data, idempotency_key="once")
    again = create(salon, slot, caller, user_data=data, idempotency_key="once")
    assert first.success
    assert again.body["appointment_id"] == first.body["appointment_id"]
    assert books(salon, "10:00", caller, data, key="twice").code == "customer_limit_reached"


def test_a_refused_request_can_be_sent_again_later(salon: Salon) -> None:
    limited(salon, 1)
    first = books(salon, "09:00")
    assert books(salon, "10:00", key="key").code == "customer_limit_reached"
    assert call(
        salon, "cancel_appointment", ADA, appointment_id=first.body["appointment_id"]
    ).success
    slot = slot_at(salon, at("10:00"))
    assert create(salon, slot, session_id=SESSION, idempotency_key="key").success


def test_an_old_snapshot_cannot_pass_the_limit(strict: Salon) -> None:
    """It would count the bookings of yesterday, and the customer's lock could not tell."""
    with (
        pytest.raises(errors.InvalidTransactionState, match="READ COMMITTED"),
        strict.db.transaction(),
    ):
        strict.db.execute("set transaction isolation level repeatable read")
        strict.db.execute(
            "select booking.lock_customer(%s, %s, '{}')", (strict.tenant, user_of(ADA))
        )
