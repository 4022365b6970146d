"""get_next_available: the first free times over all people, by one scan of an index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import ANON, SERVICE, Caller
from tests.api.asking import (
    ask,
    ids,
    listed,
    next_available,
    public,
    starts,
    work_hours,
)
from tests.booking.booked import ADA, add_service, assert_refused, book, reserve, slot_at
from tests.booking.conftest import at
from tests.salon import Salon, make_salon, set_clock


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", [ANON, ADA, SERVICE], ids=lambda caller: caller.role)
def test_it_is_the_beginning_of_what_is_public(salon: Salon, caller: Caller, method: str) -> None:
    salon.add_person("Ben")
    answer = ask(salon, "get_next_available", caller, method=method, tenant_id=salon.tenant)
    assert answer.body == {"success": True, "slots": public(salon)[:5]}


@pytest.mark.parametrize("count", [1, 3, 100])
def test_there_are_as_many_as_asked_for(salon: Salon, count: int) -> None:
    assert next_available(salon, max_results=count) == public(salon)[:count]


@pytest.mark.parametrize("count", [0, -1, 101])
def test_there_are_1_to_100(salon: Salon, count: int) -> None:
    answer = ask(salon, "get_next_available", tenant_id=salon.tenant, max_results=count)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"] == f"max_results is {count}; expected a number from 1 to 100."


def test_whoever_is_free_first_comes_first(salon: Salon) -> None:
    early = salon.add_person("Early")
    salon.db.execute(
        "update booking.working_hours set start_time = '07:30' where staff_id = %s", (early,)
    )
    (first,) = next_available(salon, max_results=1, appointment_type="cut")
    assert (first["staff_id"], starts([first])) == (str(early), ["07:30"])
    reserve(salon, UUID(first["id"]))
    (second,) = next_available(salon, max_results=1, appointment_type="cut")
    assert (second["staff_id"], starts([second])) == (str(early), ["08:00"])


def test_it_looks_from_now_on_or_from_a_later_instant(salon: Salon) -> None:
    set_clock(salon.db, "2026-03-02 10:01+01")
    assert starts(next_available(salon, max_results=1)) == ["10:15"]
    later = next_available(salon, from_time="2026-03-04 10:00+01", max_results=1)
    assert later[0]["start_time"] == "2026-03-04T09:00:00Z"
    assert next_available(salon, from_time="2020-01-01 00:00+00") == next_available(salon)
    assert next_available(salon, from_time="2027-01-01 00:00+00") == []


def test_filters_are_those_of_the_listing(salon: Salon) -> None:
    ben = salon.add_person("Ben")
    elsewhere = salon.insert("locations", name="Nord")
    work_hours(salon, ben, elsewhere, "18:00", "20:00")
    add_service(salon, "trim", price_cents=4200, currency="CHF")
    choices: list[dict[str, Any]] = [
        {"staff_id": ben},
        {"duration_minutes": 60},
        {"location_id": elsewhere},
        {"appointment_type": "trim"},
        {"staff_id": ben, "location_id": elsewhere, "appointment_type": "course"},
        {"staff_id": ben, "appointment_type": "trim"},
        {"duration_minutes": 31},
    ]
    for filters in choices:
        whole = listed(salon, "2026-03-02", "2026-03-31", **filters)
        assert next_available(salon, **filters) == whole[:5]


def test_who_is_not_there_or_anothers_is_refused_alike(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    for parameter, foreign in (
        ("staff_id", neighbour.person),
        ("location_id", neighbour.location),
    ):
        answers = [
            ask(
                salon,
                "get_next_available",
                tenant_id=salon.tenant,
                **dict[str, Any]({parameter: named}),
            )
            for named in (foreign, uuid4())
        ]
        assert_refused(answers[0], "not_found", 404)
        assert answers[0] == answers[1]
    neighbours = ids(next_available(neighbour, max_results=100))
    assert set(neighbours).isdisjoint(ids(next_available(salon, max_results=100)))


def test_a_full_day_is_passed_over(salon: Salon) -> None:
    salon.insert(
        "schedule_exceptions", first_date="2026-03-02", last_date="2026-03-05", kind="closed"
    )
    book(salon, slot_at(salon, at("09:00", 6)))
    (first,) = next_available(salon, max_results=1, appointment_type="cut")
    assert first["start_time"] == "2026-03-06T08:30:00Z"


# By one index scan that stops as soon as it has enough

INDEX = "availability_slots_tenant_id_start_time_idx"
Plans = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def plans(salon: Salon, need_extension: Callable[[str], None]) -> Iterator[Plans]:
    """The plans, with what they did, of the statements on availability_slots from now on."""
    notices: list[str] = []
    try:
        salon.db.execute("load 'auto_explain'")
    except psycopg.errors.UndefinedFile:
        # Not in pg_available_extensions: it has no SQL; where it is not, pg_stat_statements,
        # which comes in the same package, is not either.
        need_extension("pg_stat_statements")
        raise
    for name, value in {
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_nested_statements": "on",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_format": "json",
        "auto_explain.log_level": "notice",
        "client_min_messages": "notice",
    }.items():
        salon.db.execute("select set_config(%s, %s, false)", (name, value))
    salon.db.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))

    def collect() -> list[dict[str, Any]]:
        found = [
            json.loads(notice.partition("plan:\n")[2]) for notice in notices if "plan:\n" in notice
        ]
        notices.clear()
        return [
            plan["Plan"]
            for plan in found
            if "from booking.availability_slots s" in plan["Query Text"]
        ]

    yield collect


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's nodes, from the top."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.fixture
def crowd(salon: Salon) -> Salon:
    """A few thousand slots of ten people."""
    for number in range(9):
        salon.add_person(f"Person {number}")
    salon.db.execute("analyze")
    assert len(public(salon)) > 5000
    return salon


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "filters", [{}, {"appointment_type": "cut"}, {"duration_minutes": 60}], ids=str
)
def test_it_is_one_index_scan_over_all_people_that_stops_at_the_last_slot_told(
    crowd: Salon, plans: Plans, filters: dict[str, Any], method: str
) -> None:
    plans()
    answer = ask(crowd, "get_next_available", method=method, tenant_id=crowd.tenant, **filters)
    assert len(answer.body["slots"]) == 5
    (plan,) = plans()
    scans = [node for node in nodes(plan) if node.get("Relation Name") == "availability_slots"]
    assert [(scan["Node Type"], scan["Index Name"]) for scan in scans] == [("Index Scan", INDEX)]
    assert scans[0]["Actual Loops"] == 1
    # Two shapes of ten people begin at each quarter; a start is read to its end to be sorted by id.
    read = scans[0]["Actual Rows"] + scans[0].get("Rows Removed by Filter", 0)
    assert read <= 3 * 20
    assert "Sort" not in {node["Node Type"] for node in nodes(plan)}


def test_from_a_later_instant_it_begins_there(crowd: Salon, plans: Plans) -> None:
    plans()
    later = datetime(2026, 3, 9, 12, tzinfo=UTC)
    found = next_available(crowd, from_time=later)
    assert found[0]["start_time"] == "2026-03-09T12:00:00Z"
    (plan,) = plans()
    (scan,) = [node for node in nodes(plan) if node.get("Index Name") == INDEX]
    assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= 3 * 20


def test_of_one_person_it_is_a_scan_of_their_index(crowd: Salon, plans: Plans) -> None:
    plans()
    assert len(next_available(crowd, staff_id=crowd.person)) == 5
    (plan,) = plans()
    (scan,) = [node for node in nodes(plan) if node.get("Relation Name") == "availability_slots"]
    assert scan["Index Name"] == "availability_slots_tenant_id_staff_id_start_time_idx"
    assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= 3 * 20


def test_every_free_time_comes_once_when_one_goes_on_from_the_last(salon: Salon) -> None:
    whole = listed(salon, "2026-03-03", duration_minutes=30)
    found: list[str] = []
    start = at("00:00")
    while start < at("00:00", 4):
        slots = next_available(salon, from_time=start, duration_minutes=30, max_results=4)
        found += [name for name in ids(slots) if name not in found]
        start = datetime.fromisoformat(slots[-1]["start_time"]) + timedelta(microseconds=1)
    assert found[: len(whole)] == ids(whole)
