"""Searches are counted from a sample, where the transaction may write and the tenant wants it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analytics.weeks import TUESDAY
from tests.api import ANON, SERVICE, Api, Caller
from tests.salon import Salon

Search = tuple[Any, ...]


@pytest.fixture
def each(salon: Salon) -> Salon:
    """A tenant whose every search is recorded."""
    salon.db.execute("update booking.settings set search_sample = 1")
    return salon


def searches(salon: Salon) -> list[Search]:
    return salon.db.execute(
        "select tenant_id, staff_id, appointment_type_id, has_result, stands_for"
        " from booking.searches order by id"
    ).fetchall()


def ask(salon: Salon, function: str, caller: Caller = ANON, **more: Any) -> None:
    method = more.pop("method", "POST")
    Api(salon.db).call(function, caller, method=method, **({"tenant_id": salon.tenant} | more))


DAY: dict[str, Any] = {"start_date": TUESDAY, "end_date": TUESDAY}
NEVER: dict[str, Any] = {"start_date": "2027-01-01", "end_date": "2027-01-01"}


def test_each_listing_says_what_was_asked_and_whether_it_was_found(each: Salon) -> None:
    asked: list[tuple[str, dict[str, Any], tuple[Any, Any, bool]]] = [
        ("get_available_slots", DAY, (None, None, True)),
        ("get_available_slots", NEVER, (None, None, False)),
        (
            "get_available_slots",
            {**DAY, "staff_id": each.person, "appointment_type": "cut"},
            (each.person, each.cut, True),
        ),
        ("get_next_available", {"appointment_type": "course"}, (None, each.course, True)),
        ("get_next_available", {"from_time": "2027-01-01T00:00Z"}, (None, None, False)),
        ("get_available_times", {**DAY, "appointment_type": "cut"}, (None, each.cut, True)),
        ("get_available_times", {**NEVER, "appointment_type": "cut"}, (None, each.cut, False)),
    ]
    for function, arguments, expected in asked:
        each.db.execute("delete from booking.searches")
        ask(each, function, **arguments)
        assert searches(each) == [(each.tenant, *expected, 1)], function


def test_reading_pages_refusals_and_other_functions_are_no_searches(each: Salon) -> None:
    ask(each, "get_available_slots", method="GET", **DAY)
    ask(each, "get_available_slots", staff_id=each.tenant, **DAY)
    ask(each, "get_available_slots", start_date=TUESDAY, end_date="2020-01-01")
    page = "2026-03-03T10:00:00Z_00000000-0000-0000-0000-000000000000"
    ask(each, "get_available_slots", page_token=page, **DAY)
    Api(each.db).call("get_tenant", slug="nobody")
    ask(each, "explain_availability", SERVICE, staff_id=each.person, at="2026-03-03T10:00+01:00")
    assert searches(each) == []


def test_a_tenant_can_do_without(each: Salon) -> None:
    each.db.execute("update booking.tenants set counts_searches = false")
    ask(each, "get_available_slots", **DAY)
    assert searches(each) == []


def test_one_in_ten_stands_for_ten(salon: Salon) -> None:
    """The mean of 300 searches lies within four standard deviations, or chance is not fair."""
    salon.db.execute("select setseed(0.5)")
    for _ in range(300):
        ask(salon, "get_next_available", max_results=1)
    found = searches(salon)
    assert {row[-1] for row in found} == {10}
    assert 30 - 4 * 5.2 < len(found) < 30 + 4 * 5.2
