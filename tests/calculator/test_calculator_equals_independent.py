"""Random calendars, asked of `booking.calculate_slots` and of the independent calculator.

PGBOOKING_CASES is the number of calendars (default 2,000), a third of them for each alignment.
Each is written in a transaction, read back, compared both ways round, and rolled back. What the
calendars of a run were made of is printed at the end, and must not be too little of anything.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from pgbooking import reference
from pgbooking.reference import GridSlot, PublishedSlot
from pgbooking.reference_calendar import Break, Calendar, ScheduleException, load_calendar
from tests.calculator import database
from tests.calculator.calendars import MINUTE, MadeUpCalendar, insert
from tests.calculator.strategies import is_next_to_a_clock_change, made_up_calendars

CASES = int(os.environ.get("PGBOOKING_CASES", "2000"))
ALIGNMENTS = ("window", "clock", "gapless")
PARTS = (1, 2)  # for as many processes
# Below this many calendars chance decides what they are made of.
CASES_THAT_SAY_SOMETHING = 300

DAY = timedelta(days=1)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_the_two_calculators_agree_on_any_calendar(
    module_db: psycopg.Connection,
    alignment: str,
    part: int,
    record_property: Callable[[str, object], None],
) -> None:
    composition: Counter[str] = Counter()
    cases = -(-CASES // (len(ALIGNMENTS) * len(PARTS)))

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(made_up_calendars(alignment))
    def agree(made_up: MadeUpCalendar) -> None:
        grid, published = compare(module_db, made_up)
        composition["calendars"] += 1
        composition.update(traits(made_up, grid) | decisive(made_up, grid, published))

    agree()
    composition[f"aligned by {alignment}"] = composition["calendars"]
    record_property("composition", dict(composition))
    assert composition["calendars"] >= cases
    if cases >= CASES_THAT_SAY_SOMETHING:
        least = LEAST_SHARES | (OF_GAPLESS if alignment == "gapless" else {})
        shares = {trait: composition[trait] / composition["calendars"] for trait in least}
        assert {trait: share for trait, share in shares.items() if share < least[trait]} == {}


def compare(
    connection: psycopg.Connection, made_up: MadeUpCalendar
) -> tuple[list[GridSlot], list[PublishedSlot]]:
    """Fail where database and independent calculator differ; give the slots they agree on, those
    calculated and those published."""
    with connection.transaction(force_rollback=True):
        insert(connection, made_up)
        calendar = load_calendar(
            connection,
            made_up.calendar.tenant.id,
            made_up.from_date - DAY,
            max(
                made_up.to_date,
                made_up.now.date() + DAY * (made_up.calendar.tenant.booking_horizon_days + 2),
            ),
        )
        people = [person.id for person in calendar.staff]
        grid = [
            slot
            for staff_id in people
            for slot in reference.calculate_slots(
                calendar, staff_id, made_up.from_date, made_up.to_date
            )
        ]
        assert_same(database.calculated_slots(connection, made_up, people), grid)
        published = [
            slot
            for staff_id in people
            for slot in reference.published_slots(
                calendar, staff_id, made_up.now, made_up.materialized_until
            )
        ]
        assert_same(database.refreshed_slots(connection, made_up, people), published)
        beyond = [
            slot
            for staff_id in people
            for slot in reference.slots_beyond(
                calendar, staff_id, made_up.now, made_up.materialized_until
            )
        ]
        assert_same(
            database.calculated_beyond(connection, made_up.calendar.tenant.id, people), beyond
        )
    return grid, published


def assert_same(
    of_database: Sequence[GridSlot | PublishedSlot], independent: Sequence[GridSlot | PublishedSlot]
) -> None:
    assert len(set(of_database)) == len(of_database), "the database says something twice"
    only_database = set(of_database) - set(independent)
    only_independent = set(independent) - set(of_database)
    if only_database or only_independent:
        lines = [
            "the calculators differ",
            *_written("database only", only_database),
            *_written("independent only", only_independent),
        ]
        raise AssertionError("\n".join(lines))


def _written(title: str, slots: Iterable[GridSlot | PublishedSlot]) -> list[str]:
    ordered = sorted(slots, key=lambda slot: (slot.start_time, slot.shape_id, slot.location_id))
    return [f"{title}: {len(ordered)}", *(f"  {slot}" for slot in ordered[:5])]


# Hypothesis varies what it has found, so that shares differ much from run to run.
LEAST_SHARES = {
    "not empty": 1 / 2,
    "next to a clock change": 1 / 5,
    "live appointments": 1 / 5,
    "taken slots": 1 / 10,
    "overnight hours": 1 / 20,
    "round the clock": 1 / 20,
    "zones off the full hour": 1 / 20,
    "odd minutes or seconds": 1 / 20,
    "two places in two zones": 1 / 20,
    "several people": 1 / 20,
    "seasons": 1 / 20,
    "breaks": 1 / 20,
    "open exceptions": 1 / 20,
    "closed exceptions": 1 / 20,
    "exceptions or breaks of everyone": 1 / 20,
    "exceptions or breaks everywhere": 1 / 20,
    "busy times": 1 / 20,
    "buffers": 1 / 20,
    "cancelled appointments": 1 / 20,
    "attended classes": 1 / 50,
    "holds": 1 / 20,
    "three places": 1 / 50,
    "travel times": 1 / 5,
    "travel times that differ by direction": 1 / 20,
    "travel that decides": 1 / 50,
    "day limits": 1 / 5,
    "full days": 1 / 50,
    "compact schedules": 1 / 10,
    "compact schedules that decide": 1 / 50,
    "holds that bar by travel": 1 / 100,
    "holds that fill a day": 1 / 1000,
}

OF_GAPLESS = {"travel that moves a grid": 1 / 100}


def traits(made_up: MadeUpCalendar, grid: list[GridSlot]) -> set[str]:
    """What a calendar is made of."""
    calendar = made_up.calendar
    live = [row for row in calendar.appointments if row.is_live]
    special: list[Break | ScheduleException] = [*calendar.breaks, *calendar.schedule_exceptions]
    kinds = {row.kind for row in calendar.schedule_exceptions}
    classes = {shape.id for shape in calendar.slot_shapes if shape.group_type_id is not None}
    facts = {
        "not empty": bool(grid),
        "next to a clock change": is_next_to_a_clock_change(made_up),
        "overnight hours": any(
            0 < row.end_minute < row.start_minute for row in calendar.working_hours
        ),
        "round the clock": works_round_the_clock(calendar),
        "zones off the full hour": any(
            (made_up.now.astimezone(calendar.zone(row)).utcoffset() or DAY) % (60 * MINUTE)
            for row in calendar.locations
        ),
        "odd minutes or seconds": any(
            moment.minute % 5 or moment.second
            for moment in [row.end_time for row in calendar.busy_times]
            + [row.start_time for row in live]
        ),
        "two places in two zones": len({calendar.zone(row).key for row in calendar.locations}) > 1,
        "several people": len(calendar.staff) > 1,
        "seasons": any(row.valid_from or row.valid_until for row in calendar.working_hours),
        "breaks": bool(calendar.breaks),
        "open exceptions": "open" in kinds,
        "closed exceptions": "closed" in kinds,
        "exceptions or breaks of everyone": any(row.staff_id is None for row in special),
        "exceptions or breaks everywhere": any(row.location_id is None for row in special),
        "busy times": bool(calendar.busy_times),
        "buffers": any(
            row.buffer_before_minutes or row.buffer_after_minutes for row in calendar.slot_shapes
        ),
        "live appointments": bool(live),
        "cancelled appointments": len(live) < len(calendar.appointments),
        "taken slots": any(not slot.is_available for slot in grid),
        "attended classes": any(slot.booked and slot.shape_id in classes for slot in grid),
        "holds": bool(calendar.holds),
        "three places": len(calendar.locations) > 2,
        "travel times": any(row.minutes for row in calendar.travel_times),
        "travel times that differ by direction": any(
            (there.from_location_id, there.to_location_id)
            == (back.to_location_id, back.from_location_id)
            and there.minutes != back.minutes
            for there in calendar.travel_times
            for back in calendar.travel_times
        ),
        "day limits": any(row.max_appointments_per_day for row in calendar.staff),
        "compact schedules": any(row.compact_schedule for row in calendar.staff),
    }
    return {trait for trait, is_so in facts.items() if is_so}


def decisive(
    made_up: MadeUpCalendar, grid: list[GridSlot], published: list[PublishedSlot]
) -> set[str]:
    """What travel, limits and compact schedules change, as the calendar without them shows."""
    calendar = made_up.calendar
    people = {row.id: row for row in calendar.staff}
    held = {row.staff_id for row in calendar.holds}
    withheld = {slot.staff_id for slot in grid if slot.is_free and not slot.is_available}
    facts = {
        # Where both may have decided, neither is counted.
        "full days": any(not people[each].compact_schedule for each in withheld),
        "compact schedules that decide": any(
            people[each].max_appointments_per_day is None for each in withheld
        ),
    }
    without_travel = replace(calendar, travel_times=())
    if calendar.travel_times and any(row.is_live for row in calendar.appointments):
        with_travel, without = by_name(grid), grid_of(made_up, without_travel)
        facts["travel that decides"] = differ("is_free", with_travel, without)
        facts["travel that moves a grid"] = with_travel.keys() != without.keys()
    if calendar.travel_times and held:
        facts["holds that bar by travel"] = differ(
            "reserved_until", by_name(published), published_of(made_up, without_travel)
        )
    if any(people[each].max_appointments_per_day for each in held):
        without_limits = replace(
            calendar,
            staff=tuple(replace(row, max_appointments_per_day=None) for row in calendar.staff),
        )
        facts["holds that fill a day"] = differ(
            "reserved_until", by_name(published), published_of(made_up, without_limits)
        )
    return {trait for trait, is_so in facts.items() if is_so}


Name = tuple[UUID, UUID, UUID, datetime]
Named = Mapping[Name, GridSlot | PublishedSlot]


def grid_of(made_up: MadeUpCalendar, calendar: Calendar) -> Named:
    return by_name(
        slot
        for person in calendar.staff
        for slot in reference.calculate_slots(
            calendar, person.id, made_up.from_date, made_up.to_date
        )
    )


def published_of(made_up: MadeUpCalendar, calendar: Calendar) -> Named:
    return by_name(
        slot
        for person in calendar.staff
        for slot in reference.published_slots(
            calendar, person.id, made_up.now, made_up.materialized_until
        )
    )


def by_name(slots: Iterable[GridSlot | PublishedSlot]) -> Named:
    return {
        (slot.staff_id, slot.location_id, slot.shape_id, slot.start_time): slot for slot in slots
    }


def differ(column: str, some: Named, others: Named) -> bool:
    """Whether a slot that both have has another value there."""
    return any(
        getattr(some[name], column) != getattr(others[name], column)
        for name in some.keys() & others.keys()
    )


def works_round_the_clock(calendar: Calendar) -> bool:
    weekdays = Counter(
        (row.staff_id, row.location_id)
        for row in calendar.working_hours
        if row.end_minute % 1440 == row.start_minute
    )
    return max(weekdays.values(), default=0) >= 7
