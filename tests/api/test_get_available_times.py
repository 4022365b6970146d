"""get_available_times: when somebody is free, whoever it is, and how many there are to choose
from."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import pytest

from tests.api import ANON, SERVICE, Caller
from tests.api.asking import BERLIN, DAY, ask, grouped, listed, times, work_hours
from tests.booking.booked import ADA, add_service, book, reserve, slot_at
from tests.booking.conftest import at
from tests.salon import Salon, limit_calls, set_clock


def free_at(salon: Salon, clock: str, code: str = "cut") -> int:
    """How many are free at a time on Tuesday."""
    found = [
        time["free_staff"]
        for time in times(salon, code=code)
        if datetime.fromisoformat(time["start_time"]) == at(clock)
    ]
    return sum(found)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", [ANON, ADA, SERVICE], ids=lambda caller: caller.role)
def test_a_time_tells_how_many_are_free_and_what_it_costs(
    salon: Salon, caller: Caller, method: str
) -> None:
    salon.add_person("Ben")
    salon.db.execute("update booking.appointment_types set price_cents = 4500, currency = 'CHF'")
    answer = ask(
        salon,
        "get_available_times",
        caller,
        method=method,
        tenant_id=salon.tenant,
        start_date=DAY,
        end_date=DAY,
        appointment_type="cut",
    )
    assert answer.body["times"][0] == {
        "start_time": "2026-03-03T08:00:00Z",
        "end_time": "2026-03-03T08:30:00Z",
        "duration_minutes": 30,
        "location_id": str(salon.location),
        "free_staff": 2,
        "lowest_price_cents": 4500,
        "highest_price_cents": 4500,
        "currency": "CHF",
    }


def test_it_is_the_listing_grouped_by_start_and_place(salon: Salon) -> None:
    ben, north = salon.add_person("Ben"), salon.insert("locations", name="Nord")
    work_hours(salon, ben, north, "16:00", "19:00", weekday=3)
    salon.appointment(at("11:00"), staff_id=ben)
    salon.hold(salon.cut, at("14:00"))
    add_service(salon, "trim")
    for code in ("cut", "course", "trim"):
        whole = listed(salon, "2026-03-02", "2026-03-09", appointment_type=code)
        assert times(salon, "2026-03-02", "2026-03-09", code) == grouped(whole)
        for place in (salon.location, north):
            there = [slot for slot in whole if slot["location_id"] == str(place)]
            assert times(salon, "2026-03-02", "2026-03-09", code, location_id=place) == grouped(
                there
            )


def test_who_is_booked_or_held_is_one_less(salon: Salon) -> None:
    ben = salon.add_person("Ben")
    assert [free_at(salon, clock) for clock in ("10:00", "10:15", "10:30")] == [2, 2, 2]
    book(salon, slot_at(salon, at("10:00")))
    assert [free_at(salon, clock) for clock in ("10:00", "10:15", "10:30")] == [1, 1, 2]
    reserve(salon, slot_at(salon, at("10:00"), person=ben))
    assert [free_at(salon, clock) for clock in ("10:00", "10:15", "10:30")] == [0, 0, 2]
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert [free_at(salon, clock) for clock in ("10:00", "10:15", "10:30")] == [1, 1, 2]


def test_whoever_does_not_offer_the_service_is_not_counted(salon: Salon) -> None:
    salon.add_person("Ben")
    add_service(salon, "trim")
    assert (free_at(salon, "10:00"), free_at(salon, "10:00", "trim")) == (2, 1)


def test_a_class_has_one_leader_free_until_it_is_full(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    course = slot_at(salon, at("10:00"), salon.course)
    seen = [free_at(salon, "10:00", "course")]
    for number in range(2):
        reserve(salon, course, f"session-of-guest-{number}", appointment_type="course")
        seen.append(free_at(salon, "10:00", "course"))
    assert seen == [1, 1, 0]


def test_times_are_in_order_of_start_and_place(salon: Salon) -> None:
    places = [salon.location, *(salon.insert("locations", name=name) for name in ("A", "B", "C"))]
    for place in places[1:]:
        work_hours(salon, salon.add_person(), place, "17:00", "18:00")
    found = [(time["start_time"], time["location_id"]) for time in times(salon)]
    assert found == sorted(found)
    assert len({place for _, place in found}) == len(places)


def test_dates_are_local_dates_of_the_place_inclusive(salon: Salon) -> None:
    island = salon.insert("locations", name="Auckland", timezone="Pacific/Auckland")
    work_hours(salon, salon.add_person(), island, "00:00", "24:00")
    there = [time for time in times(salon) if time["location_id"] == str(island)]
    assert (there[0]["start_time"], there[-1]["start_time"]) == (
        "2026-03-02T11:00:00Z",
        "2026-03-03T10:45:00Z",
    )
    here = times(salon, location_id=salon.location)
    assert {
        datetime.fromisoformat(time["start_time"]).astimezone(BERLIN).date().isoformat()
        for time in here
    } == {DAY}


def test_there_are_none_where_nobody_is_free(salon: Salon) -> None:
    salon.insert("schedule_exceptions", first_date=DAY, last_date=DAY, kind="closed")
    assert times(salon) == []
    assert times(salon, "2027-01-01", "2027-02-28") == []
    idle = salon.insert("appointment_types", code="new", name="New", duration_minutes=30)
    assert isinstance(idle, UUID)
    assert times(salon, "2026-03-04", code="new") == []


def test_reading_leaves_no_record_and_counts_as_a_read(salon: Salon) -> None:
    limit_calls(salon.db, 1)
    times(salon, method="POST")
    buckets = salon.db.execute("select bucket from booking.rate_limits").fetchall()
    assert buckets == [("read",)]
    assert salon.db.execute("select count(*) from booking.audit_log").fetchone() == (0,)
