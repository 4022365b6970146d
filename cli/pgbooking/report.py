"""Reports: how a business is booked, by the views of statistics in schema api.

Here are the figures; report_terminal, report_plots and report_page show them, and report_output
writes what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from pgbooking.compare import only_tenant
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import execute, fetch, fetch_one
from pgbooking.tenants import Tenant
from pgbooking.verify import one_moment

FIRST_YEAR, LAST_YEAR = 1901, 9997
MOST_WEEKS_BY_WEEK = 27
"""A longer range is told by months."""


class Section(StrEnum):
    """What can be reported, in the order of a report."""

    UTILISATION = "utilisation"
    FUNNEL = "funnel"
    HEATMAP = "heatmap"
    PEAKS = "peaks"
    CANCELLATIONS = "cancellations"


class Figures(Protocol):
    """What a section says: `rows` are what its CSV has, and its picture draws."""

    @property
    def rows(self) -> Sequence[Any]: ...

    @property
    def is_empty(self) -> bool: ...


@dataclass(frozen=True)
class PersonWeek:
    """Minutes of a person in the week that begins on Monday `week`.

    `free_minutes` is working time that neither appointments, their buffers nor the way to them
    take; utilisation is what is booked, in percent of working time (None: no working time).
    """

    staff_id: UUID
    staff: str
    week: date
    working_minutes: int
    booked_minutes: int
    buffer_minutes: int
    travel_minutes: int
    free_minutes: int
    utilisation_percent: float | None


@dataclass(frozen=True)
class Person:
    """The same over all weeks."""

    staff_id: UUID
    staff: str
    working_minutes: int
    booked_minutes: int
    buffer_minutes: int
    travel_minutes: int
    free_minutes: int
    utilisation_percent: float | None


@dataclass(frozen=True)
class Utilisation:
    """How people's working time is used, in the whole weeks, Monday to Sunday, that the range
    touches: from `first_date` to `last_date`, inclusive."""

    first_date: date
    last_date: date
    people: list[Person]
    weeks: list[PersonWeek]

    @property
    def rows(self) -> list[PersonWeek]:
        return self.weeks

    @property
    def is_empty(self) -> bool:
        return not any(each.working_minutes or each.booked_minutes for each in self.people)


@dataclass(frozen=True)
class Step:
    """How far people came: `by` is all, appointment_type, staff, or refusal (`name` is its code).

    `seconds_to_book`: from hold to booking, the average of `timed_bookings`. Rates are percent of
    the step before (None: there was nothing before); of searches only for all, as most of them name
    no person.
    """

    by: str
    name: str | None
    searches: int = 0
    searches_without_result: int = 0
    holds: int = 0
    bookings: int = 0
    kept: int = 0
    timed_bookings: int = 0
    seconds_to_book: float | None = None
    refusals: int = 0
    hold_percent: float | None = None
    booking_percent: float | None = None
    kept_percent: float | None = None


@dataclass(frozen=True)
class Funnel:
    """From search to booking, by the day of the call in the tenant's zone."""

    all: Step
    by_appointment_type: list[Step]
    by_staff: list[Step]
    refusals: list[Step]

    @property
    def rows(self) -> list[Step]:
        return [self.all, *self.by_appointment_type, *self.by_staff, *self.refusals]

    @property
    def is_empty(self) -> bool:
        return not (
            self.all.searches or self.all.holds or self.all.bookings or self.all.kept
        ) and not any(each.refusals for each in self.refusals)


@dataclass(frozen=True)
class Starts:
    """Starts in an hour of a weekday (1 Monday to 7 Sunday), local at their place."""

    weekday: int
    hour: int
    offered: int = 0
    held: int = 0
    booked: int = 0
    booked_percent: float | None = None


@dataclass(frozen=True)
class Heatmap:
    """Which starts are taken: each weekday, for all hours from the first to the last used one."""

    cells: list[Starts]

    @property
    def rows(self) -> list[Starts]:
        return self.cells

    @property
    def is_empty(self) -> bool:
        return not any(each.offered or each.held or each.booked for each in self.cells)


@dataclass(frozen=True)
class Demand:
    """Calls in an hour of a weekday (1 Monday to 7 Sunday), in the tenant's zone."""

    weekday: int
    hour: int
    searches: int = 0
    searches_without_result: int = 0
    holds: int = 0
    refused_holds: int = 0
    bookings: int = 0

    @property
    def asked(self) -> int:
        """How often somebody wanted something: searches, and holds, granted or refused."""
        return self.searches + self.holds + self.refused_holds


@dataclass(frozen=True)
class Peaks:
    """When people ask: each weekday, for all hours from the first to the last used one."""

    cells: list[Demand]

    @property
    def rows(self) -> list[Demand]:
        return self.cells

    @property
    def is_empty(self) -> bool:
        return not any(each.asked or each.bookings for each in self.cells)

    @property
    def top(self) -> list[Demand]:
        """The ten busiest hours of the week."""
        asked = [each for each in self.cells if each.asked]
        return sorted(asked, key=lambda each: (-each.asked, each.weekday, each.hour))[:10]


@dataclass(frozen=True)
class Fate:
    """What became of the appointments of a week or month, by their local date.

    `first_date` is its first day, None for the whole range. Percents are of `appointments`.
    `cancelled_late`: less than 24 hours before the start. `average_notice_hours` is that of the
    cancelled. The days ahead are those between booking and appointment.
    """

    first_date: date | None
    appointments: int
    cancelled: int
    cancelled_late: int
    no_shows: int
    cancellation_percent: float | None
    no_show_percent: float | None
    average_notice_hours: float | None
    same_day: int
    days_1_to_6: int
    days_7_to_29: int
    days_30_or_more: int


@dataclass(frozen=True)
class Cancellations:
    """Cancelled appointments, no-shows, and how far ahead people book; `period`: week or month."""

    period: str
    all: Fate
    periods: list[Fate]

    @property
    def rows(self) -> list[Fate]:
        return [self.all, *self.periods]

    @property
    def is_empty(self) -> bool:
        return not self.all.appointments


@dataclass(frozen=True)
class Report:
    """Figures of the local days from `first_date` to `last_date`, inclusive; `made_at` is UTC.

    `counted_from`: where no day has been rolled up yet, the first one that has figures.
    """

    tenant: Tenant
    time_zone: str
    first_date: date
    last_date: date
    made_at: datetime
    counted_from: date | None
    sections: dict[Section, Figures]

    @property
    def about(self) -> str:
        """Whose figures, of which days, and from when."""
        local = self.made_at.astimezone(ZoneInfo(self.time_zone))
        return (
            f"{plain(self.tenant.name)}, {self.first_date} to {self.last_date} "
            f"({self.time_zone}), made on {local:%Y-%m-%d %H:%M}"
        )

    @property
    def warning(self) -> str | None:
        """That figures are missing, where they are."""
        if self.counted_from is None or self.counted_from <= self.first_date:
            return None
        return (
            f"Days before {self.counted_from} are missing: none has been rolled up yet (pgbooking "
            "jobs run roll_up)."
        )


@dataclass(frozen=True)
class _Range:
    made_at: datetime
    first_date: date
    last_date: date
    counted_from: date | None


@dataclass(frozen=True)
class _Week:
    staff_id: UUID
    staff: str
    week: date
    working_minutes: int
    booked_minutes: int
    buffer_minutes: int
    travel_minutes: int


@dataclass(frozen=True)
class _Steps:
    by: str
    name: str | None
    searches: int
    searches_without_result: int
    holds: int
    bookings: int
    kept: int
    timed_bookings: int
    seconds_to_book: float | None


@dataclass(frozen=True)
class _Refusals:
    code: str
    refusals: int


@dataclass(frozen=True)
class _Starts:
    weekday: int
    hour: int
    offered: int
    held: int
    booked: int


@dataclass(frozen=True)
class _Fates:
    first_date: date | None
    appointments: int
    cancelled: int
    cancelled_late: int
    no_shows: int
    notice_minutes: int
    same_day: int
    days_1_to_6: int
    days_7_to_29: int
    days_30_or_more: int


def read(
    connection: psycopg.Connection,
    named: str | None,
    sections: Sequence[Section],
    first_date: date | None,
    last_date: date | None,
) -> Report:
    """The figures of one moment. Dates are inclusive, by default ninety days that end today.

    Raises Problem (exit code 2) where there is no such tenant, or no such days.
    """
    for option, each in (("--from", first_date), ("--to", last_date)):
        if each and not FIRST_YEAR <= each.year <= LAST_YEAR:
            raise Problem(
                f"{option} {each} is not between the years {FIRST_YEAR} and {LAST_YEAR}.",
                None,
                EXIT_USAGE,
            )
    with one_moment(connection):
        tenant = only_tenant(connection, named)
        execute(connection, "report_caller")
        days = fetch_one(
            connection,
            "report_range",
            _Range,
            tenant_id=tenant.id,
            first_date=first_date,
            last_date=last_date,
        )
        assert days  # noqa: S101 - the tenant was found in this very snapshot
        if days.last_date < days.first_date:
            raise Problem(
                f"--from {days.first_date} is after --to {days.last_date}.",
                None if last_date else "Without --to it is today, in the tenant's time zone.",
                EXIT_USAGE,
            )
        parameters = {
            "tenant_id": tenant.id,
            "first_date": days.first_date,
            "last_date": days.last_date,
        }
        return Report(
            tenant,
            tenant.timezone,
            days.first_date,
            days.last_date,
            days.made_at,
            days.counted_from,
            {each: _READERS[each](connection, parameters) for each in sections or Section},
        )


def _utilisation(connection: psycopg.Connection, parameters: dict[str, Any]) -> Utilisation:
    weeks = fetch(connection, "report_utilisation", _Week, **parameters)
    people: dict[UUID, list[_Week]] = {}
    for each in weeks:
        people.setdefault(each.staff_id, []).append(each)
    first, last = parameters["first_date"], parameters["last_date"]
    return Utilisation(
        first - timedelta(first.weekday()),
        last + timedelta(6 - last.weekday()),
        [Person(key, theirs[0].staff, *_minutes(theirs)) for key, theirs in people.items()],
        [PersonWeek(each.staff_id, each.staff, each.week, *_minutes([each])) for each in weeks],
    )


def _minutes(weeks: list[_Week]) -> tuple[int, int, int, int, int, float | None]:
    working = sum(each.working_minutes for each in weeks)
    booked = sum(each.booked_minutes for each in weeks)
    buffer = sum(each.buffer_minutes for each in weeks)
    travel = sum(each.travel_minutes for each in weeks)
    free = max(working - booked - buffer - travel, 0)  # people work overtime, too
    return working, booked, buffer, travel, free, percent(booked, working)


def _funnel(connection: psycopg.Connection, parameters: dict[str, Any]) -> Funnel:
    steps = [
        Step(
            **asdict(each),
            hold_percent=percent(each.holds, each.searches) if each.by == "all" else None,
            booking_percent=percent(each.bookings, each.holds),
            kept_percent=percent(each.kept, each.bookings),
        )
        for each in fetch(connection, "report_funnel", _Steps, **parameters)
    ]
    refusals = fetch(connection, "report_refusals", _Refusals, **parameters)
    (everything,) = [each for each in steps if each.by == "all"]
    return Funnel(
        everything,
        [each for each in steps if each.by == "appointment_type"],
        [each for each in steps if each.by == "staff"],
        [Step("refusal", each.code, refusals=each.refusals) for each in refusals],
    )


def _heatmap(connection: psycopg.Connection, parameters: dict[str, Any]) -> Heatmap:
    found = {
        (each.weekday, each.hour): Starts(
            **asdict(each), booked_percent=percent(each.booked, each.offered)
        )
        for each in fetch(connection, "report_heatmap", _Starts, **parameters)
    }
    return Heatmap([found.get(each, Starts(*each)) for each in week_hours(found)])


def _peaks(connection: psycopg.Connection, parameters: dict[str, Any]) -> Peaks:
    found = {
        (each.weekday, each.hour): each
        for each in fetch(connection, "report_peaks", Demand, **parameters)
    }
    return Peaks([found.get(each, Demand(*each)) for each in week_hours(found)])


def _cancellations(connection: psycopg.Connection, parameters: dict[str, Any]) -> Cancellations:
    days = (parameters["last_date"] - parameters["first_date"]).days
    period = "week" if days < 7 * MOST_WEEKS_BY_WEEK else "month"
    everything, *periods = [
        Fate(
            each.first_date,
            each.appointments,
            each.cancelled,
            each.cancelled_late,
            each.no_shows,
            percent(each.cancelled, each.appointments),
            percent(each.no_shows, each.appointments),
            round(each.notice_minutes / 60 / each.cancelled, 1) if each.cancelled else None,
            each.same_day,
            each.days_1_to_6,
            each.days_7_to_29,
            each.days_30_or_more,
        )
        for each in fetch(connection, "report_cancellations", _Fates, **parameters, period=period)
    ]
    return Cancellations(period, everything, periods)


_READERS: dict[Section, Callable[[psycopg.Connection, dict[str, Any]], Figures]] = {
    Section.UTILISATION: _utilisation,
    Section.FUNNEL: _funnel,
    Section.HEATMAP: _heatmap,
    Section.PEAKS: _peaks,
    Section.CANCELLATIONS: _cancellations,
}


def percent(part: int, whole: int) -> float | None:
    """To a tenth; None of nothing."""
    return round(100 * part / whole, 1) if whole else None


def week_hours(used: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every weekday with every hour from the first to the last that any of them uses."""
    hours = [hour for _, hour in used]
    if not hours:
        return []
    return [
        (weekday, hour) for weekday in range(1, 8) for hour in range(min(hours), max(hours) + 1)
    ]


def plain(name: str, most: int = 60) -> str:
    """A name as a word in a line: nothing that a terminal or a page would obey, nor endless."""
    word = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    return word if len(word) <= most else f"{word[: most - 1]}…"
