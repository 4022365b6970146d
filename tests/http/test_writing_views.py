"""Staff and admins write calendars through views, by POST, PATCH and DELETE; nobody else does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api import ANON, Caller
from tests.booking.booked import admin_of, staff_of
from tests.http.shop import Shop

WHOLE = {"Prefer": "return=representation"}


def appointment(shop: Shop, hours: float = 0, **columns: object) -> dict[str, Any]:
    """A row of appointments: half an hour."""
    start = shop.ten + timedelta(hours=hours)
    row = {
        "tenant_id": str(shop.salon.tenant),
        "staff_id": str(shop.salon.person),
        "location_id": str(shop.salon.location),
        "appointment_type_id": str(shop.salon.cut),
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(minutes=30)).isoformat(),
        "customer": {"name": "Grace"},
    }
    return row | columns


def evening(shop: Shop) -> dict[str, Any]:
    """A row of working_hours: that weekday, from 20:00 to 21:00."""
    return {
        "tenant_id": str(shop.salon.tenant),
        "staff_id": str(shop.salon.person),
        "location_id": str(shop.salon.location),
        "weekday": shop.ten.isoweekday(),
        "start_time": "20:00",
        "end_time": "21:00",
    }


def offered(shop: Shop, hours: float) -> bool:
    """Whether the public view offers a cut so many hours after ten."""
    return shop.salon.available(shop.salon.cut, shop.ten + timedelta(hours=hours))


def test_hours_are_written_and_slots_follow(shop: Shop) -> None:
    staff = staff_of(shop.salon)
    assert not offered(shop, 10)

    posted = shop.request("POST", "working_hours", staff, json=evening(shop), headers=WHOLE)
    assert posted.status_code == 201, posted.text
    (row,) = posted.json()
    assert (row["staff_name"], row["end_time"]) == ("Ada", "21:00:00")
    assert offered(shop, 10)

    mine = {"id": f"eq.{row['id']}", "tenant_id": f"eq.{shop.salon.tenant}"}
    later = {"start_time": "20:15"}
    patched = shop.request("PATCH", "working_hours", staff, params=mine, json=later)
    assert patched.status_code == 204
    assert not offered(shop, 10)
    assert offered(shop, 10.25)

    assert shop.request("DELETE", "working_hours", staff, params=mine).status_code == 204
    assert not offered(shop, 10.25)


def test_staff_book_move_and_cancel_by_hand(shop: Shop) -> None:
    staff = staff_of(shop.salon)
    posted = shop.request(
        "POST",
        "appointments",
        staff,
        json=appointment(shop),
        headers=WHOLE,
        params={"select": "id"},
    )
    assert posted.status_code == 201, posted.text
    assert not offered(shop, 0)

    mine = {"id": f"eq.{posted.json()[0]['id']}"}
    moved = {name: appointment(shop, 2)[name] for name in ("start_time", "end_time")}
    assert shop.request("PATCH", "appointments", staff, params=mine, json=moved).is_success
    assert offered(shop, 0)
    assert not offered(shop, 2)

    cancelled = {"status": "cancelled"}
    assert shop.request("PATCH", "appointments", staff, params=mine, json=cancelled).is_success
    assert offered(shop, 2)
    assert shop.request("DELETE", "appointments", staff, params=mine).status_code == 403


def test_two_appointments_cannot_overlap_and_neither_is_shown(shop: Shop) -> None:
    shop.book()
    answer = shop.request("POST", "appointments", staff_of(shop.salon), json=appointment(shop))
    assert answer.status_code == 400
    assert answer.json()["code"] == "23P01"
    assert "Lovelace" not in answer.text


@pytest.mark.parametrize("view", ["working_hours", "appointments"])
def test_nobody_writes_a_calendar_that_is_not_theirs(shop: Shop, view: str) -> None:
    row = evening(shop) if view == "working_hours" else appointment(shop)
    colleague = shop.salon.add_person()
    callers = {
        "nobody": (ANON, 401),
        "a customer": (shop.customer, 403),
        "a colleague": (staff_of(shop.salon, colleague), 403),
        "an admin of another tenant": (
            Caller(
                "authenticated",
                {
                    "sub": str(uuid4()),
                    "app_metadata": {"tenants": {str(uuid4()): {"role": "admin"}}},
                },
            ),
            403,
        ),
        "an admin": (admin_of(shop.salon), 201),
    }
    given = {
        name: shop.request("POST", view, caller, json=row).status_code
        for name, (caller, _) in callers.items()
    }
    assert given == {name: status for name, (_, status) in callers.items()}


def test_an_id_is_never_written(shop: Shop) -> None:
    staff = staff_of(shop.salon)
    row = evening(shop) | {"id": str(uuid4())}
    assert shop.request("POST", "working_hours", staff, json=row).status_code == 403


def test_public_views_are_not_written(shop: Shop) -> None:
    slot, taken = {"id": f"eq.{shop.slot()}"}, {"is_available": False}
    for caller, status in ((ANON, 401), (admin_of(shop.salon), 403)):
        for method in ("PATCH", "DELETE"):
            answer = shop.request(method, "availability_slots", caller, params=slot, json=taken)
            assert answer.status_code == status
