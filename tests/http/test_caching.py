"""What edges and browsers may keep, and how they ask whether it is still true."""

from __future__ import annotations

import pytest

from tests.booking.booked import OTHER_SESSION
from tests.http.shop import Shop

KEPT_AT_EDGES = "public, max-age=0, s-maxage=300"


def test_anonymous_lists_may_be_kept_at_edges_and_no_others(shop: Shop) -> None:
    for path, parameters in (
        ("rpc/get_available_slots", shop.days()),
        ("availability_slots", {"tenant_id": f"eq.{shop.salon.tenant}"}),
    ):
        assert shop.get(path, **parameters).headers["Cache-Control"] == KEPT_AT_EDGES
        kept = shop.get(path, shop.customer, **parameters).headers["Cache-Control"]
        assert kept.startswith("private")


def test_a_tenant_says_how_long_its_slots_are_kept(shop: Shop) -> None:
    shop.salon.db.execute(
        "update booking.tenants set cache_seconds = 7 where id = %s", [shop.salon.tenant]
    )
    answer = shop.get("rpc/get_available_slots", **shop.days())
    assert answer.headers["Cache-Control"] == "public, max-age=0, s-maxage=7"


def test_refusals_and_what_is_posted_are_not_kept(shop: Shop) -> None:
    for posted in (shop.reserve(), shop.reserve(OTHER_SESSION)):
        assert "public" not in posted.headers.get("Cache-Control", "")
    lost = shop.get("rpc/get_available_slots", **shop.days() | {"end_date": "2999-01-01"})
    assert lost.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("weak", ["", "W/"], ids=["as given", "weakened by a proxy that packs"])
def test_a_list_that_has_not_changed_is_not_sent_again(shop: Shop, weak: str) -> None:
    first = shop.get("rpc/get_available_slots", **shop.days())
    kept = {"If-None-Match": weak + first.headers["ETag"]}

    again = shop.request("GET", "rpc/get_available_slots", params=shop.days(), headers=kept)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]

    shop.reserve()
    changed = shop.request("GET", "rpc/get_available_slots", params=shop.days(), headers=kept)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]
    assert len(changed.json()["slots"]) < len(first.json()["slots"])
