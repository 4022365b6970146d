"""The listing against the public view, row by row, on random calendars.

Some days of most calendars are published, the days after them are calculated when they are asked
for. The view that both are held against has all of them published.

PGBOOKING_LISTINGS is the number of calendars (default 150), a third of them for each alignment.
"""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pgbooking.reference_calendar import Calendar
from tests.api.asking import Slot, grouped, ids, listed, local_date, next_available, public, times
from tests.booking.booked import call, rows
from tests.calculator import database
from tests.calculator.calendars import MadeUpCalendar, insert
from tests.calculator.strategies import made_up_calendars
from tests.salon import Salon, limit_calls

CALENDARS = int(os.environ.get("PGBOOKING_LISTINGS", "150"))
ALIGNMENTS = ("window", "clock", "gapless")

# A few calendars may all lack far days that can be booked: then as many are compared again.
ROUNDS = 10


@dataclass
class Seen:
    """What was compared, so that it cannot be nothing."""

    calendars: int = 0
    slots: int = 0
    beyond: int = 0
    times: int = 0
    reserved: int = 0
    reserved_times: int = 0
    refused: int = 0


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_the_listing_is_the_public_view_filtered(
    module_db: psycopg.Connection[Any], alignment: str
) -> None:
    seen = Seen()

    @settings(
        max_examples=-(-CALENDARS // len(ALIGNMENTS)),
        deadline=None,
        database=None,
        # In CI, too, where each round would have the same calendars otherwise.
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(made_up_calendars(alignment), st.data())
    def compare(made_up: MadeUpCalendar, data: st.DataObject) -> None:
        with module_db.transaction(force_rollback=True):
            limit_calls(module_db, 1_000_000)
            insert(module_db, made_up)
            people = [person.id for person in made_up.calendar.staff]
            database.refreshed_slots(module_db, made_up, people)
            salon = Salon(module_db, made_up.calendar.tenant.id, *(uuid4() for _ in range(4)))
            compare_all(salon, made_up, data, seen)

    for _ in range(ROUNDS):
        compare()
        if all(astuple(seen)):
            break
    assert all(astuple(seen)), seen


def compare_all(salon: Salon, made_up: MadeUpCalendar, data: st.DataObject, seen: Seen) -> None:
    """The whole listing, one with filters and in pages, the next available, and reserving."""
    calendar = made_up.calendar
    if not calendar.tenant.is_active:
        assert public(salon) == []
        return
    ids_with_rows = set(ids(public(salon)))
    every, published = all_published(salon)
    shape_of = {str(row["id"]): row["shape_id"] for row in every}
    published = [
        slot | {"shape_id": shape_of[slot["id"]]}
        for slot in published
        if date_of(slot, calendar) <= last_date(slot, made_up)
    ]
    first = data.draw(st.integers(-2, 3).map(lambda days: made_up.now.date() + day(days)), "first")
    last = data.draw(st.integers(0, 61).map(lambda days: first + day(days)), "last")
    expected = [slot for slot in published if first <= date_of(slot, calendar) <= last]
    assert quietly_listed(salon, first, last) == told(expected)
    seen.calendars += 1
    seen.slots += len(expected)
    seen.beyond += sum(slot["id"] not in ids_with_rows for slot in expected)

    filters = data.draw(filters_of(calendar), "filters")
    some = [slot for slot in expected if suits(slot, filters, calendar)]
    size = data.draw(st.integers(max(1, len(some) // 4), 1000), "max_results")
    answered = quietly_listed(salon, first, last, max_results=size, **filters)
    assert told(answered) == told(some)

    everything_now = [slot for slot in published if suits(slot, filters, calendar)]
    with salon.db.transaction(force_rollback=True):
        found = next_available(salon, max_results=4, **filters)
    assert told(found) == told(everything_now[:4])

    services = [row.id for row in calendar.appointment_types if row.is_active]
    if services:
        compare_times(
            salon, str(data.draw(st.sampled_from(services), "service")), first, last, seen
        )

    of_id = {str(row["id"]): row for row in every}
    if expected:
        reserve_one(salon, of_id[data.draw(st.sampled_from(ids(expected)), "reserve")], True)
        seen.reserved += 1
    hidden = of_id.keys() - set(ids(published))
    if hidden:
        reserve_one(salon, of_id[data.draw(st.sampled_from(sorted(hidden)), "refuse")], False)
        seen.refused += 1


def all_published(salon: Salon) -> tuple[list[dict[str, Any]], list[Slot]]:
    """The rows, and what the view shows of them, if every day that can be booked were published.

    A day more than the tenant's horizon, because a place may be a date ahead of it.
    """
    with salon.db.transaction(force_rollback=True):
        salon.db.execute(
            "update booking.calendars c"
            " set materialized_until ="
            " (booking.now() at time zone t.timezone)::date + t.booking_horizon_days + 1"
            " from booking.tenants t where t.id = c.tenant_id and t.id = %s",
            [salon.tenant],
        )
        salon.db.execute("select booking.refresh_slots(%s, null, null, null)", [salon.tenant])
        every = rows(
            salon, "select * from booking.availability_slots where tenant_id = %s", salon.tenant
        )
        return every, public(salon)


def compare_times(salon: Salon, code: str, first: date, last: date, seen: Seen) -> None:
    """The times of a service are its slots grouped by start and place, and each can be reserved."""
    slots = quietly_listed(salon, first, last, appointment_type=code)
    with salon.db.transaction(force_rollback=True):
        found = times(salon, first, last, code, method="POST")
    assert found == grouped(slots)
    seen.times += len(found)
    for time in found[:: max(1, len(found) // 2)]:
        with salon.db.transaction(force_rollback=True):
            answer = call(
                salon,
                "reserve_time",
                tenant_id=salon.tenant,
                start_time=time["start_time"],
                appointment_type=code,
                session_id="somebody-with-a-secret",
                location_id=UUID(time["location_id"]),
            )
        assert answer.success, answer
        assert answer.body["slot_id"] in {
            slot["id"]
            for slot in slots
            if (slot["start_time"], slot["location_id"])
            == (time["start_time"], time["location_id"])
        }
        assert answer.body["end_time"] == time["end_time"]
        seen.reserved_times += 1


def reserve_one(salon: Salon, slot: dict[str, Any], is_listed: bool) -> None:
    """What is listed can be reserved, and nothing else."""
    with salon.db.transaction(force_rollback=True):
        answer = call(
            salon,
            "reserve_slot",
            slot_id=slot["id"],
            tenant_id=salon.tenant,
            staff_id=slot["staff_id"],
            location_id=slot["location_id"],
            start_time=slot["start_time"],
            session_id="somebody-with-a-secret",
        )
    assert answer.code == (None if is_listed else "slot_taken"), answer


def quietly_listed(salon: Salon, first: date, last: date, **filters: Any) -> list[Slot]:
    """The listing, without the settings that a call leaves behind in an open transaction."""
    with salon.db.transaction(force_rollback=True):
        return listed(salon, first, last, method="POST", **filters)


def day(days: int) -> timedelta:
    return timedelta(days=days)


def told(slots: list[Slot]) -> list[Slot]:
    """What both sides tell: the view names shapes, the listing of a service its price."""
    only_one_tells = ("shape_id", "price_cents", "currency")
    return [
        {key: value for key, value in slot.items() if key not in only_one_tells} for slot in slots
    ]


def date_of(slot: Slot, calendar: Calendar) -> date:
    """The slot's local date at its place."""
    return local_date(slot, zone_of(slot, calendar))


def last_date(slot: Slot, made_up: MadeUpCalendar) -> date:
    """The last date that can be booked at the slot's place: its today + the horizon."""
    today = made_up.now.astimezone(zone_of(slot, made_up.calendar)).date()
    return today + day(made_up.calendar.tenant.booking_horizon_days)


def zone_of(slot: Slot, calendar: Calendar) -> ZoneInfo:
    (place,) = [row for row in calendar.locations if str(row.id) == slot["location_id"]]
    return calendar.zone(place)


@st.composite
def filters_of(draw: st.DrawFn, calendar: Calendar) -> dict[str, Any]:
    """Some of the filters, of what is active."""
    filters: dict[str, Any] = {}
    people = [row.id for row in calendar.staff if row.is_active]
    places = [row.id for row in calendar.locations if row.is_active]
    durations = sorted({row.duration_minutes for row in calendar.slot_shapes})
    choices: dict[str, list[Any]] = {
        "staff_id": people,
        "location_id": places,
        "duration_minutes": durations,
    }
    for name, values in choices.items():
        if draw(st.booleans()) and values:
            filters[name] = draw(st.sampled_from(values))
    services = [row.id for row in calendar.appointment_types if row.is_active]
    if draw(st.booleans()) and services:
        filters["appointment_type"] = str(draw(st.sampled_from(services)))
    return filters


def suits(slot: Slot, filters: dict[str, Any], calendar: Calendar) -> bool:
    """Whether a slot passes the filters. The codes of made up services are their ids."""
    for name, value in filters.items():
        if name != "appointment_type":
            if str(slot[name]) != str(value):
                return False
            continue
        (service,) = [row for row in calendar.appointment_types if str(row.id) == value]
        offered_by = {
            str(row.staff_id)
            for row in calendar.assignments
            if row.appointment_type_id == service.id
        }
        if slot["staff_id"] not in offered_by or slot["shape_id"] != service.shape_id:
            return False
    return True
