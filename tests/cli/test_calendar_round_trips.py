"""Properties of calendars that come out, go in, and go in again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pgbooking.csv_file import Input
from pgbooking.export import export
from pgbooking.import_calendar import Scope, import_calendar
from pgbooking.import_mapping import Kind, Mapping
from pgbooking.importers import ImportReport
from pgbooking.output import progress_bar
from tests.salon import Salon, make_salon

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2026, 3, 26), date(2026, 4, 1)  # clocks change on the 29th
BEGIN, END = (
    datetime.combine(day, time(), BERLIN).astimezone(UTC)
    for day in (FIRST, LAST + timedelta(days=1))
)
HALF_HOUR = timedelta(minutes=30)

quickly = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def elsewhere(shared_salon: Salon) -> Iterator[Salon]:
    """Another tenant, whose calendars are to be filled."""
    yield make_salon(shared_salon.db)


def imported(salon: Salon, text: bytes) -> ImportReport:
    """The file is Ada's calendar now."""
    mapping, scope = Mapping(source="ical"), Scope("Ada", None, FIRST, LAST)
    read, tenant = Input("ada.ics", text), str(salon.tenant)
    with progress_bar() as bar:
        return import_calendar(salon.db, Kind.BUSY_TIMES, read, mapping, tenant, scope, bar)


def periods_of(salon: Salon, table: str) -> list[tuple[datetime, datetime]]:
    """What a tenant has in that table, in order."""
    return salon.db.execute(
        f"select start_time, end_time from booking.{table} where tenant_id = %s order by 1, 2"
        "".encode(),
        [salon.tenant],
    ).fetchall()


@quickly
@given(st.sets(st.integers(0, 7 * 24 * 2 - 1), min_size=1, max_size=6))
def test_what_is_exported_is_imported_elsewhere_as_the_same_periods(
    shared_salon: Salon, elsewhere: Salon, halves: set[int]
) -> None:
    shared_salon.db.execute(
        "delete from booking.appointments where tenant_id = %s", [shared_salon.tenant]
    )
    for half in halves:
        shared_salon.appointment(BEGIN + half * HALF_HOUR, status="completed")
    file = export(shared_salon.db, str(shared_salon.tenant), "Ada", FIRST, LAST)
    assert imported(elsewhere, file).rejected == []
    assert periods_of(elsewhere, "busy_times") == periods_of(shared_salon, "appointments")
    again = imported(elsewhere, file)
    assert (again.already_there, again.changed, again.removed) == (len(halves), 0, 0)


rules = st.fixed_dictionaries(
    {
        "frequency": st.sampled_from(["DAILY", "WEEKLY"]),
        "interval": st.integers(1, 3),
        "date": st.dates(date(2026, 3, 1), date(2026, 3, 29)),
        "minute": st.integers(0, 22 * 60),
        "count": st.none() | st.integers(1, 30),
        "without": st.sets(st.integers(0, 30), max_size=3),
    }
)


@quickly
@given(st.lists(rules, min_size=1, max_size=4))
def test_generated_calendars_are_when_they_say_and_a_second_import_changes_nothing(
    shared_salon: Salon, elsewhere: Salon, generated: list[dict[str, Any]]
) -> None:
    lines = ["BEGIN:VCALENDAR"]
    expected = []
    for number, rule in enumerate(generated):
        first = datetime.combine(rule["date"], time()) + timedelta(minutes=rule["minute"])
        step = timedelta(days=1 if rule["frequency"] == "DAILY" else 7) * rule["interval"]
        starts = [first + n * step for n in range(rule["count"] or 60)]
        gone = [starts[n] for n in rule["without"] if n < len(starts)]
        count = f";COUNT={rule['count']}" if rule["count"] else ""
        lines += [
            "BEGIN:VEVENT",
            f"UID:{number}",
            f"DTSTART;TZID=Europe/Berlin:{first:%Y%m%dT%H%M%S}",
            "DURATION:PT30M",
            f"RRULE:FREQ={rule['frequency']};INTERVAL={rule['interval']}{count}",
            *(f"EXDATE;TZID=Europe/Berlin:{start:%Y%m%dT%H%M%S}" for start in gone),
            "END:VEVENT",
        ]
        expected += [as_postgresql_reads(start) for start in starts if start not in gone]
    file = "\n".join([*lines, "END:VCALENDAR\n"]).encode()
    imported(elsewhere, file)
    assert periods_of(elsewhere, "busy_times") == sorted(
        (start, start + HALF_HOUR) for start in expected if BEGIN - HALF_HOUR < start < END
    )
    before = shared_salon.db.execute("table booking.calendars").fetchall()
    again = imported(elsewhere, file)
    assert (again.loaded, again.changed, again.removed) == (0, 0, 0)
    assert shared_salon.db.execute("table booking.calendars").fetchall() == before


def as_postgresql_reads(local: datetime) -> datetime:
    """The instant of a time in Berlin: the later of two."""
    return max(local.replace(tzinfo=BERLIN, fold=fold).astimezone(UTC) for fold in (0, 1))
