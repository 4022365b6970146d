"""The four paths through nginx to a real PostgREST, each with its shipped configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.api import SERVICE, Caller
from tests.booking.booked import ADAS_DATA
from tests.deploy.edge import Edge, Response, running_edge
from tests.http.shop import Shop


@dataclass(frozen=True)
class Site:
    """A shop behind nginx."""

    shop: Shop
    edge: Edge

    def post(self, path: str, body: object, caller: Caller | None = None) -> Response:
        """Call a function, signed in or not."""
        if caller is None:
            return self.edge.post(path, body)
        return self.edge.post(path, body, Authorization=f"Bearer {self.shop.token(caller)}")

    def slots(self, path: str = "/api/booking/get-available-slots", **headers: str) -> Response:
        """The list of a day, by GET."""
        return self.edge.ask(f"{path}?{urlencode(self.shop.days())}", **headers)


@pytest.fixture
def site(nginx: str, shop: Shop, tmp_path: Path) -> Iterator[Site]:
    """A shop of the test's own behind an nginx of its own."""
    with running_edge(nginx, tmp_path, urlsplit(shop.postgrest.url).netloc) as edge:
        yield Site(shop, edge)


def test_the_four_paths_answer(site: Site) -> None:
    listed = site.slots()
    assert (listed.status, listed.json["success"]) == (200, True)
    slot = str(site.shop.slot())
    assert slot in {each["id"] for each in listed.json["slots"]}
    posted = site.post("/api/booking/get-available-slots", site.shop.days())
    assert posted.json["slots"] == listed.json["slots"]

    hold = {"slot_id": slot, "session_id": site.shop.session, "appointment_type": "cut"}
    reserved = site.post("/api/booking/reserve-slot", hold)
    assert (reserved.status, reserved.json["slot_id"]) == (200, slot)

    booking = hold | {"user_data": ADAS_DATA}
    booked = site.post("/api/booking/create-appointment", booking, site.shop.customer)
    assert (booked.status, booked.json["success"]) == (200, True)

    days = {name: site.shop.days()[name] for name in ("tenant_id", "start_date", "end_date")}
    recalculated = site.post("/api/admin/recalculate-availability", days, SERVICE)
    assert (recalculated.status, recalculated.json["success"]) == (200, True)


def test_booking_and_recalculating_need_the_right_token(site: Site) -> None:
    slot = str(site.shop.slot())
    booking = {"slot_id": slot, "user_data": ADAS_DATA, "appointment_type": "cut"}
    assert site.post("/api/booking/create-appointment", booking).status == 401
    days = {name: site.shop.days()[name] for name in ("tenant_id", "start_date", "end_date")}
    recalculate = "/api/admin/recalculate-availability"
    assert site.post(recalculate, days).status == 401
    assert site.post(recalculate, days, site.shop.customer).status == 403


def test_a_list_is_kept_and_told_by_its_etag(site: Site) -> None:
    first = site.slots()
    site.shop.salon.db.execute(
        "update booking.staff set is_active = false where id = %s", [site.shop.salon.person]
    )
    assert site.slots().body == first.body
    again = site.slots("/rest/v1/rpc/get_available_slots", If_None_Match=first.headers["etag"])
    assert again.status == 304
    assert site.shop.get("rpc/get_available_slots", **site.shop.days()).json()["slots"] == []


def test_calls_are_counted_by_the_address_that_nginx_saw(site: Site) -> None:
    db = site.shop.salon.db
    before = db.execute("select count(*) from booking.rate_limits").fetchone()
    hold = {"slot_id": str(site.shop.slot()), "session_id": site.shop.session}
    for forged in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        site.edge.post("/api/booking/reserve-slot", hold, X_Forwarded_For=forged)
    after = db.execute("select count(*) from booking.rate_limits").fetchone()
    assert before and after
    assert after[0] - before[0] <= 1


def test_views_are_passed_through(site: Site) -> None:
    tenant = f"tenant_id=eq.{site.shop.salon.tenant}"
    slots = site.edge.ask(f"/rest/v1/availability_slots?{tenant}&order=start_time&limit=2")
    assert len(slots.json) == 2
    staff = site.edge.ask(f"/rest/v1/staff?{tenant}")
    assert [person["display_name"] for person in staff.json] == ["Ada"]
    assert site.edge.ask("/rest/v1/appointments").status == 401
