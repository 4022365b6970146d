"""get_reservations: what a session holds, for whoever knows its secret."""

from __future__ import annotations

import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Caller
from tests.api.asking import ask
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    add_service,
    assert_refused,
    audit_rows,
    everything,
    reserve,
    slot_at,
)
from tests.booking.conftest import at
from tests.salon import Salon


@pytest.mark.parametrize("caller", [ANON, ADA, SERVICE], ids=lambda caller: caller.role)
def test_it_tells_all_that_is_needed_to_show_a_hold_and_go_on(salon: Salon, caller: Caller) -> None:
    add_service(salon, "trim", price_cents=4200, currency="CHF")
    course = slot_at(salon, at("14:00"), salon.course)
    reserve(salon, course, appointment_type=None)
    reserve(salon, slot_at(salon), appointment_type="trim")
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    before = everything(salon), audit_rows(salon)
    answer = ask(salon, "get_reservations", caller, method="POST", session_id=SESSION)
    place = {
        "tenant_id": str(salon.tenant),
        "staff_id": str(salon.person),
        "location_id": str(salon.location),
        "seat": 1,
        "reserved_until": "2026-03-02T06:10:00Z",
    }
    assert (answer.status, answer.headers, answer.body) == (
        200,
        {},
        {
            "success": True,
            "reservations": [
                place
                | {
                    "slot_id": str(slot_at(salon)),
                    "start_time": "2026-03-03T09:00:00Z",
                    "end_time": "2026-03-03T09:30:00Z",
                    "duration_minutes": 30,
                    "appointment_type": "trim",
                    "price_cents": 4200,
                    "currency": "CHF",
                },
                place
                | {
                    "slot_id": str(course),
                    "start_time": "2026-03-03T13:00:00Z",
                    "end_time": "2026-03-03T14:00:00Z",
                    "duration_minutes": 60,
                    "appointment_type": "course",
                    "price_cents": 0,
                    "currency": "EUR",
                },
            ],
        },
    )
    assert (everything(salon), audit_rows(salon)) == before


@pytest.mark.parametrize("length", [0, 15, 129])
def test_a_secret_that_can_be_guessed_or_never_ends_is_refused_and_not_repeated(
    salon: Salon, length: int
) -> None:
    answer = ask(salon, "get_reservations", method="POST", session_id="s" * length)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"] == (
        f"session_id is {length} characters long; expected 16 to 128 characters."
    )


@pytest.mark.parametrize("length", [16, 128])
def test_a_secret_that_nobody_uses_holds_nothing(salon: Salon, length: int) -> None:
    answer = ask(salon, "get_reservations", method="POST", session_id="s" * length)
    assert answer.body == {"success": True, "reservations": []}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_secret_never_stands_in_an_address(salon: Salon, method: str) -> None:
    with pytest.raises(errors.ReadOnlySqlTransaction):
        ask(salon, "get_reservations", method=method, session_id=SESSION)
