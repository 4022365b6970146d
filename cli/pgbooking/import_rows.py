"""What a CSV row says, by a mapping: texts become dates, times and numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from pgbooking.csv_file import CsvRow, in_words
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.import_mapping import FIELDS, Kind, Mapping

WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MIDNIGHT_AT_THE_END = "24:00"
MINUTES_OF_A_DAY = 1440

# Python ends with the year 9999, and before that in some time zones.
FIRST_YEAR, LAST_YEAR = 1900, 9998
OUTSIDE_OF_ALL_YEARS = f"is not within the years {FIRST_YEAR} to {LAST_YEAR}"

# The fields of which each row needs one set.
NEEDED: dict[Kind, list[list[set[str]]]] = {
    Kind.STAFF: [[{"name"}]],
    Kind.HOURS: [[{"staff"}], [{"weekday"}], [{"start_time"}], [{"end_time"}]],
    Kind.BUSY_TIMES: [[{"staff"}], [{"start"}, {"date", "time"}]],
    Kind.APPOINTMENTS: [[{"staff"}], [{"service"}], [{"start"}, {"date", "time"}]],
    Kind.SLOTS: [[{"staff"}], [{"start"}, {"date", "time"}]],
}


@dataclass
class ImportRow:
    """A row ready for the database: `values` are columns, names are still to become ids."""

    line: int
    cells: dict[str, str]
    external_id: str
    staff: str | None = None
    location: str | None = None
    services: list[str] = field(default_factory=list)
    order: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def in_words(self) -> str:
        """The row as its file has it."""
        return " ".join(cell for cell in self.cells.values() if cell)


class Cell:
    """One field of a row: its text, after the mapping's translation, and what it is read as."""

    class NotUnderstood(Exception):
        """A cell that cannot be what its field is."""

        def __init__(self, field_name: str, value: str, reason: str) -> None:
            super().__init__(reason)
            self.field = field_name
            self.value = value
            self.reason = reason

    def __init__(self, name: str, text: str, formats: Any) -> None:
        self.name = name
        self.text = text
        self.formats = formats

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def needed(self) -> str:
        if not self.text:
            raise self.NotUnderstood(self.name, self.text, "is empty")
        return self.text

    def number(self) -> int | None:
        if not self.text:
            return None
        try:
            return int(self.text)
        except ValueError:
            raise self.NotUnderstood(self.name, self.text, "is not a whole number") from None

    def date(self) -> date | None:
        if not self.text:
            return None
        expected = self.formats.get("date")
        try:
            if expected:
                return datetime.strptime(self.text, expected).date()  # noqa: DTZ007
            return date.fromisoformat(self.text)
        except ValueError:
            raise self._not("a date", expected, "2025-01-31") from None

    def time(self) -> time | None:
        if not self.text:
            return None
        expected = self.formats.get("time")
        try:
            if expected:
                return datetime.strptime(self.text, expected).time()  # noqa: DTZ007
            return time.fromisoformat(self.text)
        except ValueError:
            raise self._not("a time of day", expected, "14:30") from None

    def moment(self) -> datetime | None:
        """With an offset an instant, without one a local time."""
        if not self.text:
            return None
        expected = self.formats.get("datetime")
        try:
            if expected:
                return datetime.strptime(self.text, expected)  # noqa: DTZ007
            return datetime.fromisoformat(self.text)
        except ValueError:
            raise self._not("a time", expected, "2025-01-31T14:30") from None

    def weekday(self) -> int:
        """1 Monday to 7 Sunday, or an English name or its first three letters."""
        name = self.needed.lower()
        for number, weekday in enumerate(WEEKDAYS, start=1):
            if name in {weekday, weekday[:3], str(number)}:
                return number
        raise self.NotUnderstood(self.name, self.text, "is not 1 (Monday) to 7 (Sunday)")

    def _not(self, what: str, expected: str | None, example: str) -> NotUnderstood:
        written = f"in the format {expected}" if expected else f"like {example}"
        return self.NotUnderstood(self.name, self.text, f"is not {what} {written}")


class RowParser:
    """Understands the rows of one file or query. `parse` raises Cell.NotUnderstood."""

    def __init__(self, kind: Kind, mapping: Mapping) -> None:
        parsers: dict[Kind, Callable[[CsvRow], ImportRow]] = {
            Kind.STAFF: self._staff,
            Kind.HOURS: self._hours,
            Kind.BUSY_TIMES: self._busy_time,
            Kind.APPOINTMENTS: self._appointment,
            Kind.SLOTS: self._slot,
        }
        if kind not in parsers:
            raise Problem(f"{kind.capitalize()} are read from iCalendar only.", None, EXIT_USAGE)
        self.parse = parsers[kind]
        self.kind = kind
        self.mapping = mapping
        self.columns = mapping.columns or {name: name for name in FIELDS[kind]}
        self.seen: Counter[str] = Counter()

    def check_header(self, where: str, header: list[str]) -> None:
        """Raises Problem where `where` lacks a column that the mapping names or a row needs."""
        for name, column in self.mapping.columns.items():
            if column not in header:
                raise Problem(
                    f"{where} has no column {column!r}, in which the mapping expects {name}.",
                    f"Its columns: {in_words(header)}",
                    EXIT_USAGE,
                )
        given = {name for name, column in self.columns.items() if column in header}
        given |= set(self.mapping.defaults)
        for ways in NEEDED[self.kind]:
            if not any(way <= given for way in ways):
                raise Problem(
                    f"{where} has no column for "
                    f"{' or '.join(' and '.join(sorted(way)) for way in ways)}.",
                    f"Name it in [{self.kind.section}.columns] of a mapping (--map). "
                    f"Its columns: {in_words(header)}",
                    EXIT_USAGE,
                )

    def _staff(self, row: CsvRow) -> ImportRow:
        name = self._cell(row, "name").needed
        services = [each.strip() for each in self._cell(row, "services").text.split(";")]
        return ImportRow(
            row.line,
            row.cells,
            external_id=self._cell(row, "external_id").text or name,
            services=[each for each in services if each],
            values={"name": name},
        )

    def _hours(self, row: CsvRow) -> ImportRow:
        staff = self._cell(row, "staff").needed
        location = self._cell(row, "location").text or None
        values = {
            "weekday": self._cell(row, "weekday").weekday(),
            "start_time": self._time_of_day(row, "start_time"),
            "end_time": self._time_of_day(row, "end_time"),
            "valid_from": _iso(self._cell(row, "valid_from").date()),
            "valid_until": _iso(self._cell(row, "valid_until").date()),
        }
        return ImportRow(
            row.line,
            row.cells,
            external_id=self._external_id(row, staff, location, *values.values()),
            staff=staff,
            location=location,
            values=values,
        )

    def _busy_time(self, row: CsvRow) -> ImportRow:
        staff = self._cell(row, "staff").needed
        values = self._period(row, self.mapping.default_duration_minutes)
        return ImportRow(
            row.line,
            row.cells,
            external_id=self._external_id(row, staff, *values.values()),
            staff=staff,
            order=_order(values),
            values=values,
        )

    def _appointment(self, row: CsvRow) -> ImportRow:
        staff = self._cell(row, "staff").needed
        service = self._cell(row, "service").needed
        minutes = self.mapping.durations.get(service, self.mapping.default_duration_minutes)
        values = self._period(row, minutes)
        customer = {
            key: text
            for key, name in (("name", "customer"), ("email", "email"), ("phone", "phone"))
            if (text := self._cell(row, name).text)
        }
        identity = (staff, service, _order(values), *customer.values())
        return ImportRow(
            row.line,
            row.cells,
            external_id=self._external_id(row, *identity),
            staff=staff,
            location=self._cell(row, "location").text or None,
            services=[service],
            order=_order(values),
            values=values
            | {
                "status": self._cell(row, "status").text or None,
                "customer": customer,
                "notes": self._cell(row, "notes").text or None,
            },
        )

    def _slot(self, row: CsvRow) -> ImportRow:
        staff = self._cell(row, "staff").needed
        service = self._cell(row, "service").text
        values = self._period(row, None)
        minutes = self._cell(row, "duration_minutes").number()
        if minutes is not None and not 1 <= minutes <= MINUTES_OF_A_DAY:
            raise Cell.NotUnderstood("duration_minutes", str(minutes), "is not 1 to 1440 minutes")
        return ImportRow(
            row.line,
            row.cells,
            external_id=str(row.line),
            staff=staff,
            location=self._cell(row, "location").text or None,
            services=[service] if service else [],
            values=values,
        )

    def _period(self, row: CsvRow, default_minutes: int | None) -> dict[str, Any]:
        """Start and end as `…_at` (with an offset) or `…_local`, or a duration in minutes."""
        day = self._cell(row, "date")
        start = self._cell(row, "start").moment() or _combined(
            day.date(), self._cell(row, "time").time()
        )
        if start is None:
            empty = "start" if "start" in self.columns and not day else "time" if day else "date"
            raise Cell.NotUnderstood(empty, "", "is empty")
        end = self._cell(row, "end").moment() or _combined(
            day.date(), self._cell(row, "end_time").time()
        )
        minutes = None if end else self._cell(row, "duration_minutes").number() or default_minutes
        for name, moment in (("start", start), ("end", end)):
            if moment and not FIRST_YEAR <= moment.year <= LAST_YEAR:
                raise Cell.NotUnderstood(name, moment.isoformat(), OUTSIDE_OF_ALL_YEARS)
        if minutes and not _is_within_all_years(start, minutes):
            raise Cell.NotUnderstood("duration_minutes", str(minutes), OUTSIDE_OF_ALL_YEARS)
        return {
            **moment_values("start", start),
            **moment_values("end", end),
            "duration_minutes": minutes,
        }

    def _time_of_day(self, row: CsvRow, name: str) -> str:
        """As text, because Python's day ends before 24:00."""
        cell = self._cell(row, name)
        if cell.needed in {MIDNIGHT_AT_THE_END, f"{MIDNIGHT_AT_THE_END}:00"}:
            return MIDNIGHT_AT_THE_END
        return str(_iso(cell.time()))

    def _cell(self, row: CsvRow, name: str) -> Cell:
        text = row.cells.get(self.columns.get(name, ""), "")
        text = self.mapping.values.get(name, {}).get(text, text)
        return Cell(name, text or self.mapping.defaults.get(name, ""), self.mapping.formats)

    def _external_id(self, row: CsvRow, *identity: object) -> str:
        """The row's own id, or one of what it says; true duplicates are counted."""
        own = self._cell(row, "external_id").text
        if own:
            return own
        text = "\x1f".join("" if each is None else str(each) for each in identity)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        self.seen[digest] += 1
        return digest if self.seen[digest] == 1 else f"{digest}-{self.seen[digest]}"


def _is_within_all_years(start: datetime, minutes: int) -> bool:
    try:
        return FIRST_YEAR <= (start + timedelta(minutes=minutes)).year <= LAST_YEAR
    except OverflowError:
        return False


def _combined(day: date | None, clock: time | None) -> datetime | None:
    return None if day is None or clock is None else datetime.combine(day, clock)


def moment_values(name: str, moment: date | None) -> dict[str, str | None]:
    """One of `<name>_at`, an instant, and `<name>_local`."""
    is_local = moment is not None and getattr(moment, "tzinfo", None) is None
    return {
        f"{name}_at": None if is_local else _iso(moment),
        f"{name}_local": _iso(moment) if is_local else None,
    }


def _order(values: dict[str, Any]) -> str:
    return str(values["start_local"] or values["start_at"])


def _iso(value: date | datetime | time | None) -> str | None:
    return None if value is None else value.isoformat()
