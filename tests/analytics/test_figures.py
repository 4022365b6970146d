"""Every figure of the analytics, on a small calendar, equals one that was worked out by hand, and
is the same whether its day is rolled up or not.

One person in Berlin, 09:00 to 17:00, a cut of 30 minutes and a class of 60, every quarter of an
hour. Monday is 2 March 2026.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.analytics.weeks import (
    MONDAY,
    THURSDAY,
    TUESDAY,
    VIEWS,
    WEDNESDAY,
    at,
    clock,
    figures,
    roll_up,
)
from tests.api import ANON, SERVICE, Answer, Api, Caller, customer
from tests.booking.booked import slot_at
from tests.salon import Salon


def call(salon: Salon, function: str, caller: Caller = ANON, **arguments: Any) -> Answer:
    answer = Api(salon.db).call(function, caller, **arguments)
    assert answer.status in (200, 409), answer
    return answer


def search(salon: Salon, day: date, method: str = "POST", **more: Any) -> Answer:
    return Api(salon.db).call(
        "get_available_slots",
        method=method,
        tenant_id=salon.tenant,
        start_date=day,
        end_date=day,
        **more,
    )


def reserve(salon: Salon, slot: UUID, session: str, code: str | None = "cut") -> Answer:
    return call(
        salon, "reserve_slot", slot_id=slot, session_id=session.ljust(16), appointment_type=code
    )


def create(salon: Salon, slot: UUID, session: str, caller: Caller) -> UUID:
    answer = call(
        salon,
        "create_appointment",
        caller,
        slot_id=slot,
        session_id=session.ljust(16),
        user_data={"name": "Eva", "email": "eva@example.com"},
        appointment_type="cut",
        idempotency_key=f"{session} once",
    )
    assert answer.success, answer
    return UUID(answer.body["appointment_id"])


@pytest.fixture
def week(salon: Salon) -> Salon:
    """Monday to Thursday, with everything that is counted; Wednesday is over everywhere."""
    db = salon.db
    db.execute("update booking.settings set search_sample = 1")
    eva, tim = customer(uuid4()), customer(uuid4())
    ten, two = slot_at(salon, at(TUESDAY, "10:00")), slot_at(salon, at(TUESDAY, "14:00"))

    # Monday, seven o'clock: four searches, of which one finds nothing.
    clock(salon, MONDAY, "07:05")
    search(salon, TUESDAY, appointment_type="cut")
    search(salon, TUESDAY, appointment_type="cut", method="GET")
    first_page = search(salon, TUESDAY, staff_id=salon.person, max_results=5)
    search(
        salon,
        TUESDAY,
        staff_id=salon.person,
        max_results=5,
        page_token=first_page.body["next_page_token"],
    )
    assert search(salon, TUESDAY + timedelta(days=30)).body["slots"] == []
    call(
        salon,
        "get_available_times",
        tenant_id=salon.tenant,
        start_date=TUESDAY,
        end_date=TUESDAY,
        appointment_type="cut",
    )
    # Eva holds ten o'clock, twice, and books it two minutes after the first time, twice. Tim is
    # refused.
    clock(salon, MONDAY, "07:10")
    reserve(salon, ten, "eva")
    assert reserve(salon, ten, "tim").code == "slot_taken"
    clock(salon, MONDAY, "07:11")
    reserve(salon, ten, "eva")
    clock(salon, MONDAY, "07:12")
    booked = create(salon, ten, "eva", eva)
    assert create(salon, ten, "eva", eva) == booked
    # Tim holds eleven and lets it go; at eight he takes whoever is free at two.
    clock(salon, MONDAY, "07:20")
    reserve(salon, slot_at(salon, at(TUESDAY, "11:00")), "tim", None)
    clock(salon, MONDAY, "08:15")
    call(
        salon,
        "reserve_time",
        tenant_id=salon.tenant,
        start_time=at(TUESDAY, "14:00"),
        appointment_type="cut",
        session_id="tim".ljust(16),
    )
    clock(salon, MONDAY, "08:16")
    cancelled = create(salon, two, "tim", tim)

    # Tuesday, five hours before, Tim cancels.
    clock(salon, TUESDAY, "09:00")
    assert call(salon, "cancel_appointment", tim, appointment_id=cancelled).success

    # By hand: an hour on Wednesday, with buffers, that is missed; 90 minutes at another place, 20
    # minutes away, and back; two attendees of one class; and one from another system.
    garden = salon.insert("locations", name="Garden")
    salon.insert("travel_times", from_location_id=salon.location, to_location_id=garden, minutes=20)
    missed = salon.appointment(
        at(WEDNESDAY, "12:00"), 60, buffer_before_minutes=5, buffer_after_minutes=10
    )
    salon.appointment(at(WEDNESDAY, "13:30"), 90, location_id=garden)
    course = salon.slot(salon.course, at(WEDNESDAY, "15:30"))
    for _ in range(2):
        salon.insert("appointments", **course)
    salon.appointment(at(WEDNESDAY, "09:00"), 30, external_id="old 1", source="old")
    # A busy time on Wednesday from ten to eleven.
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at(WEDNESDAY, "10:00"),
        end_time=at(WEDNESDAY, "11:00"),
        source="calendar",
    )
    clock(salon, WEDNESDAY, "18:00")
    db.execute("update booking.appointments set status = 'no_show' where id = %s", (missed,))
    clock(salon, THURSDAY, "13:30")
    return salon


@pytest.fixture(params=["live", "rolled up"])
def counted(week: Salon, request: pytest.FixtureRequest) -> Salon:
    if request.param == "rolled up":
        assert roll_up(week) == 3
    return week


def test_the_funnel_goes_from_searches_to_what_was_kept(counted: Salon) -> None:
    columns = (
        "date, staff_id, appointment_type_id, searches, searches_without_result, holds, bookings,"
        " kept, timed_bookings, seconds_to_book"
    )
    found = [tuple(row.values()) for row in figures(counted, "booking_funnel", columns)]
    ada, cut = counted.person, counted.cut
    assert found == [
        # Two holds for a cut; both were booked, after 120 and 60 seconds, and one is left.
        (MONDAY, ada, cut, 0, 0, 2, 2, 1, 2, 90),
        # A search for Ada and a hold without a service.
        (MONDAY, ada, None, 1, 0, 1, 0, 0, 0, None),
        (MONDAY, None, cut, 2, 0, 0, 0, 0, 0, None),
        (MONDAY, None, None, 1, 1, 0, 0, 0, 0, None),
    ]


def test_refused_holds_are_told_with_their_reason(counted: Salon) -> None:
    columns = "date, staff_id, appointment_type_id, code, refusals"
    assert [tuple(row.values()) for row in figures(counted, "hold_refusals", columns)] == [
        (MONDAY, counted.person, counted.cut, "slot_taken", 1)
    ]


def test_demand_is_told_by_the_hour_of_asking(counted: Salon) -> None:
    columns = (
        "date, weekday, hour, searches, searches_without_result, holds, refused_holds, bookings"
    )
    assert [tuple(row.values()) for row in figures(counted, "peak_demand", columns)] == [
        (MONDAY, 1, 7, 4, 1, 2, 1, 1),
        (MONDAY, 1, 8, 0, 0, 1, 0, 1),
    ]


def test_starts_are_offered_held_and_booked_by_local_hour(counted: Salon) -> None:
    columns = "date, weekday, hour, location_id, offered, held, booked"
    found = {
        (row["date"], row["weekday"], row["hour"], row["location_id"] == counted.location): (
            row["offered"],
            row["held"],
            row["booked"],
        )
        for row in figures(counted, "popular_slots", columns)
        if row["date"] in (TUESDAY, WEDNESDAY)
    }
    # Starts every quarter of an hour, the last at 16:30.
    day = {9: 4, 10: 4, 11: 4, 12: 4, 13: 4, 14: 4, 15: 4, 16: 3}
    expected = {(TUESDAY, 2, hour, True): (offered, 0, 0) for hour, offered in day.items()}
    expected |= {
        (TUESDAY, 2, 10, True): (4, 1, 1),
        (TUESDAY, 2, 11, True): (4, 1, 0),
        # Cancelled.
        (TUESDAY, 2, 14, True): (4, 1, 0),
    }
    expected |= {(WEDNESDAY, 3, hour, True): (offered, 0, 0) for hour, offered in day.items()}
    expected |= {
        (WEDNESDAY, 3, 9, True): (4, 0, 1),
        # Busy.
        (WEDNESDAY, 3, 10, True): (0, 0, 0),
        (WEDNESDAY, 3, 12, True): (4, 0, 1),
        # The class, once.
        (WEDNESDAY, 3, 15, True): (4, 0, 1),
        # At the other place, where nobody works.
        (WEDNESDAY, 3, 13, False): (0, 0, 1),
    }
    assert found == expected


def test_utilisation_tells_booked_time_buffers_and_travel_apart(counted: Salon) -> None:
    columns = (
        "staff_name, week, working_minutes, booked_minutes, buffer_minutes, travel_minutes,"
        " utilisation_percent"
    )
    found = [tuple(row.values()) for row in figures(counted, "staff_utilisation", columns)]
    booked = 30 + 60 + 90 + 60 + 30
    in_all = 4 * 480
    week_before = [row for row in found if row[1] < MONDAY]
    assert [row for row in found if row[1] == MONDAY] == [
        # Monday to Thursday, whole days of eight hours. From the salon to the garden and back.
        ("Ada", MONDAY, in_all, booked, 15, 2 * 20, round(100 * booked / in_all, 1))
    ]
    # Live, the month before the first roll-up is there, too: hours without a beginning.
    assert all(row[3:] == (0, 0, 0, 0) for row in week_before)


def test_cancellations_and_misses_are_told_with_the_notice_given(counted: Salon) -> None:
    columns = (
        "date, appointment_type_id, appointments, cancelled, no_shows, cancelled_late,"
        " notice_minutes, cancellation_percent, no_show_percent, average_notice_hours"
    )
    found = {tuple(row.values()) for row in figures(counted, "cancellations", columns)}
    assert found == {
        (TUESDAY, counted.cut, 2, 1, 0, 1, 300, 50, 0, 5),
        (WEDNESDAY, counted.cut, 3, 0, 1, 0, 0, 0, 33.3, None),
        (WEDNESDAY, counted.course, 2, 0, 0, 0, 0, 0, 0, None),
    }


def test_lead_times_are_counted_in_local_days(counted: Salon) -> None:
    columns = (
        "date, appointment_type_id, appointments, same_day, days_1_to_6, days_7_to_29,"
        " days_30_or_more, average_lead_hours"
    )
    found = {tuple(row.values()) for row in figures(counted, "lead_times", columns)}
    assert found == {
        # Monday 07:12 for Tuesday 10:00, and 08:16 for 14:00: 26 h 48 min and 29 h 44 min.
        (TUESDAY, counted.cut, 2, 0, 2, 0, 0, 28.3),
        # Tuesday 09:00 for Wednesday 12:00 and 13:30; not what came from another system.
        (WEDNESDAY, counted.cut, 2, 0, 2, 0, 0, 27.8),
        (WEDNESDAY, counted.course, 2, 0, 2, 0, 0, 30.5),
    }


@pytest.mark.parametrize("view", VIEWS)
def test_rolling_up_changes_no_figure(week: Salon, view: str) -> None:
    day = "week" if view == "staff_utilisation" else "date"

    def told() -> str:
        return str([row for row in figures(week, view) if row[day] >= MONDAY])

    before = told()
    assert roll_up(week) == 3
    assert roll_up(week) == 0
    assert told() == before
    # Today is not over, and still counted as it happens.
    reserve(week, slot_at(week, at(THURSDAY, "16:00")), "somebody", "cut")
    if view in ("popular_slots", "booking_funnel", "peak_demand"):
        assert told() != before


def test_a_midnight_that_comes_twice_begins_its_day_once(salon: Salon) -> None:
    # In Havana, clocks went back from 01:00 to 00:00 on 1 November 2026.
    salon.db.execute("update booking.tenants set timezone = 'America/Havana'")
    for utc in ("04:30", "05:30"):
        salon.db.execute(
            "insert into booking.searches (tenant_id, searched_at, has_result, stands_for)"
            " values (%s, %s, true, 1)",
            (salon.tenant, f"2026-11-01 {utc}Z"),
        )
    counted = [
        salon.db.execute(
            "select date::text, hour, attempts from booking.attempts_of(%s, daterange(%s, %s))",
            (salon.tenant, first, last),
        ).fetchall()
        for first, last in (("2026-10-31", "2026-11-01"), ("2026-11-01", "2026-11-02"))
    ]
    assert counted == [[], [("2026-11-01", 0, 2)]]


def test_what_happens_later_reaches_past_days(week: Salon) -> None:
    roll_up(week)
    week.db.execute(
        "update booking.appointments set status = 'no_show' where tenant_id = %s and slot_id = %s",
        (week.tenant, week.slot(week.cut, at(TUESDAY, "10:00"))["slot_id"]),
    )
    clock(week, THURSDAY + timedelta(days=1), "13:30")
    assert roll_up(week) == 1
    (tuesday,) = figures(week, "cancellations", "date, no_shows, cancelled")[:1]
    assert tuesday == {"date": TUESDAY, "no_shows": 1, "cancelled": 1}
    assert sum(row["kept"] for row in figures(week, "booking_funnel", "kept")) == 0


def test_past_days_can_be_rolled_up_again(week: Salon) -> None:
    roll_up(week)
    clock(week, MONDAY, "06:00")
    week.appointment(at(MONDAY, "09:00"), 45)
    clock(week, THURSDAY, "13:30")
    assert not [row for row in figures(week, "cancellations", "date") if row["date"] == MONDAY]
    before = figures(week, "peak_demand")
    week.db.execute(
        "select booking.roll_up_again(%s, %s, %s)",
        (week.tenant, MONDAY - timedelta(days=9), THURSDAY),
    )
    assert [row for row in figures(week, "cancellations", "date") if row["date"] == MONDAY]
    assert figures(week, "peak_demand") == before
    (this_week,) = [
        row
        for row in figures(week, "staff_utilisation", "week, working_minutes, booked_minutes")
        if row["week"] == MONDAY
    ]
    assert this_week == {"week": MONDAY, "working_minutes": 4 * 480, "booked_minutes": 270 + 45}


def test_the_service_reads_them_too(week: Salon) -> None:
    for view in VIEWS:
        assert figures(week, view, caller=SERVICE) == figures(week, view)
