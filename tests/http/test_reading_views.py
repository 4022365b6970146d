"""Lists: filters, order, pages and counts; nothing that a view does not show."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from tests.http.shop import Shop


def cuts(shop: Shop) -> dict[str, Any]:
    """The slots of a cut on the day of `ten`: the query that the README begins with."""
    midnight = shop.ten.replace(hour=0)
    day = [midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)]
    return {
        "tenant_id": f"eq.{shop.salon.tenant}",
        "staff_id": f"eq.{shop.salon.person}",
        "duration_minutes": "eq.30",
        "start_time": [f"gte.{day[0].isoformat()}", f"lt.{day[1].isoformat()}"],
        "order": "start_time",
    }


def test_filters_choose_slots_and_order_sorts_them(shop: Shop) -> None:
    answer = shop.get("availability_slots", **cuts(shop))
    assert answer.status_code == 200
    starts = [row["start_time"] for row in answer.json()]
    assert starts == sorted(starts)
    assert len(starts) == 31  # every quarter of an hour from 9:00 to 16:30
    assert {row["duration_minutes"] for row in answer.json()} == {30}

    backwards = shop.get("availability_slots", **cuts(shop) | {"order": "start_time.desc"})
    assert [row["start_time"] for row in backwards.json()] == starts[::-1]


def test_pages_by_limit_and_offset_are_the_whole_list(shop: Shop) -> None:
    whole = shop.get("availability_slots", **cuts(shop)).json()
    pages = [
        shop.get("availability_slots", **cuts(shop), limit=10, offset=offset).json()
        for offset in (0, 10, 20, 30)
    ]
    assert [len(page) for page in pages] == [10, 10, 10, 1]
    assert [row for page in pages for row in page] == whole


def test_a_range_is_a_page_and_a_count_is_told(shop: Shop) -> None:
    answer = shop.request(
        "GET",
        "availability_slots",
        params=cuts(shop),
        headers={"Range-Unit": "items", "Range": "10-14", "Prefer": "count=exact"},
    )
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == "10-14/31"
    assert answer.json() == shop.get("availability_slots", **cuts(shop)).json()[10:15]


def test_select_chooses_columns(shop: Shop) -> None:
    answer = shop.get("staff", tenant_id=f"eq.{shop.salon.tenant}", select="id,display_name")
    assert answer.json() == [{"id": str(shop.salon.person), "display_name": "Ada"}]


@pytest.mark.parametrize(
    "parameters",
    [
        {"select": "bookable_until"},
        {"bookable_until": "gte.2020-01-01"},
        {"order": "bookable_until"},
        {"select": "id,tenants(*)"},
        {"select": "id,slot_reservations(session_hash)"},
    ],
    ids=["selected", "filtered by", "ordered by", "embedded", "embedded by a column"],
)
def test_what_is_private_cannot_be(shop: Shop, parameters: dict[str, Any]) -> None:
    answer = shop.get("availability_slots", **parameters)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("42703", "PGRST200")
