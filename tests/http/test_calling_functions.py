"""Functions by GET and POST: answers, refusals with their status, and what is no call at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.booking.booked import OTHER_SESSION, holds
from tests.http.shop import Shop


def test_a_list_is_the_same_by_get_and_by_post(shop: Shop) -> None:
    read = shop.get("rpc/get_available_slots", **shop.days())
    called = shop.call("get_available_slots", **shop.days())
    assert (read.status_code, called.status_code) == (200, 200)
    assert read.json() == called.json()
    assert len(read.json()["slots"]) == 31


def test_a_list_is_paged_by_its_token(shop: Shop) -> None:
    page = {**shop.days(), "max_results": 20}
    first = shop.get("rpc/get_available_slots", **page).json()
    second = shop.get("rpc/get_available_slots", **page, page_token=first["next_page_token"]).json()
    assert "next_page_token" not in second
    slots = shop.get("rpc/get_available_slots", **shop.days()).json()["slots"]
    assert first["slots"] + second["slots"] == slots


def test_an_argument_of_another_type_is_a_bad_request(shop: Shop) -> None:
    answer = shop.get("rpc/get_available_slots", **shop.days() | {"tenant_id": "salon"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "22P02"


def test_a_range_that_is_too_long_is_refused(shop: Shop) -> None:
    answer = shop.get("rpc/get_available_slots", **shop.days() | {"end_date": "2999-01-01"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "range_too_large"


def test_a_taken_slot_is_a_conflict_with_the_envelope_as_body(shop: Shop) -> None:
    held = shop.reserve()
    assert held.status_code == 200
    assert held.json()["slot_id"] == str(shop.slot())

    refused = shop.reserve(OTHER_SESSION)
    assert refused.status_code == 409
    assert refused.headers["Content-Type"].startswith("application/json")
    body = refused.json()
    assert body.keys() == {"success", "code", "message", "details", "hint"}
    assert (body["success"], body["code"]) == (False, "slot_taken")


def test_a_visit_is_booked_moved_and_cancelled_with_its_token(shop: Shop) -> None:
    booked = shop.book()
    mine = {name: booked[name] for name in ("appointment_id", "manage_token")}
    moved = shop.call("reschedule_appointment", **mine, slot_id=shop.slot(2))
    assert (moved.status_code, moved.json()["slot_id"]) == (200, str(shop.slot(2)))
    assert shop.call("cancel_appointment", **mine).status_code == 200
    assert shop.call("cancel_appointment", **mine).status_code == 409


def test_holding_by_get_is_refused_and_changes_nothing(shop: Shop) -> None:
    answer = shop.get("rpc/reserve_slot", slot_id=shop.slot(), session_id=shop.session)
    assert answer.status_code == 405
    assert answer.json()["code"] == "25006"
    assert holds(shop.salon) == []


def test_a_session_id_does_not_stand_in_an_address(shop: Shop) -> None:
    assert shop.get("rpc/get_reservations", session_id=shop.session).status_code == 405
    answer = shop.call("get_reservations", session_id=shop.session)
    assert (answer.status_code, answer.json()["reservations"]) == (200, [])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_function_knows_get_and_post_only(shop: Shop, method: str) -> None:
    answer = shop.request(method, "rpc/get_tenant", json={"slug": "salon"})
    assert answer.status_code == 405


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("no_function", {}), ("get_tenant", {}), ("get_tenant", {"slug": "x", "name": "x"})],
    ids=["unknown", "an argument is missing", "an argument is unknown"],
)
def test_what_is_no_function_is_not_found(
    shop: Shop, function: str, arguments: dict[str, Any]
) -> None:
    answer = shop.call(function, **arguments)
    assert answer.status_code == 404
    assert answer.json()["code"] == "PGRST202"


def test_what_is_no_json_is_a_bad_request(shop: Shop) -> None:
    answer = shop.request(
        "POST",
        "rpc/get_tenant",
        content=b'{"slug": ',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
