"""What there is over HTTP: schema api, and of that what the caller may use."""

from __future__ import annotations

import pytest

from tests.api import SERVICE, Caller
from tests.http.shop import Shop

VIEWS = {
    "appointment_types",
    "availability_slots",
    "locations",
    "staff",
    "staff_appointment_types",
}
FUNCTIONS = {
    "cancel_appointment",
    "get_available_slots",
    "get_available_times",
    "get_next_available",
    "get_reservations",
    "get_tenant",
    "pre_request",
    "release_slot",
    "reschedule_appointment",
    "reserve_slot",
    "reserve_time",
}


def described(shop: Shop, caller: Caller | None = None) -> set[str]:
    """The paths of the API's description, which PostgREST gives at the root."""
    answer = shop.get("", caller) if caller else shop.get("")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/openapi+json")
    return set(answer.json()["paths"]) - {"/"}


def test_the_description_lists_what_anonymous_callers_may_use(shop: Shop) -> None:
    expected = {f"/{view}" for view in VIEWS} | {f"/rpc/{name}" for name in FUNCTIONS}
    assert described(shop) == expected
    assert set(shop.get("").json()["definitions"]) == VIEWS


def test_who_signs_in_may_use_more(shop: Shop) -> None:
    anonymous, signed_in, service = (
        described(shop),
        described(shop, shop.customer),
        described(shop, SERVICE),
    )
    assert anonymous < signed_in < service
    assert service - signed_in == {"/rpc/recalculate_availability", "/rpc/record_payment"}


@pytest.mark.parametrize(
    "path",
    ["tenants", "slot_reservations", "audit_log", "settings", "rpc/attempt"],
)
def test_private_tables_and_functions_are_not_found(shop: Shop, path: str) -> None:
    assert shop.get(path).status_code == 404
    assert shop.get(path, SERVICE).status_code == 404


@pytest.mark.parametrize("schema", ["booking", "booking_migrations", "public", "pg_catalog"])
def test_other_schemas_are_not_acceptable(shop: Shop, schema: str) -> None:
    read = shop.request("GET", "staff", headers={"Accept-Profile": schema})
    called = shop.request(
        "POST", "rpc/get_tenant", json={"slug": "x"}, headers={"Content-Profile": schema}
    )
    assert (read.status_code, called.status_code) == (406, 406)


@pytest.mark.parametrize("path", ["availability_slots", "rpc/get_tenant?slug=x"])
def test_plans_are_not_shown(shop: Shop, path: str) -> None:
    answer = shop.request("GET", path, headers={"Accept": "application/vnd.pgrst.plan+json"})
    assert answer.status_code == 406
