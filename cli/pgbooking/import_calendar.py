"""Imports of iCalendar: a person's busy times, or holidays of a person or everyone.

What the file holds for a window of days becomes what the database holds, in one transaction: new
occurrences are loaded, changed ones changed, and those that are in the file no more are removed.
They are recognised by source and external id: UID, the occurrence's own start where the event
recurs, and whose it is, for people who meet have one event in two calendars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from pgbooking.calendar_events import BadEvent, Events, Occurrence
from pgbooking.calendar_window import Window, calendar_window
from pgbooking.csv_file import Input
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.import_mapping import Kind, Mapping
from pgbooking.import_rows import MIDNIGHT_AT_THE_END, Cell, ImportRow, moment_values
from pgbooking.importers import ImportReport, Loader, Note, tenant_of
from pgbooking.rows import execute, fetch, fetch_value
from pgbooking.tenants import chosen_staff

if TYPE_CHECKING:
    from rich.progress import Progress

# What may take time as well, and is not read.
NOT_READ = {"VFREEBUSY", "VAVAILABILITY"}


@dataclass(frozen=True)
class Scope:
    """Whose calendar it is, by name, and which days of it count (inclusive local dates)."""

    staff: str | None = None
    location: str | None = None
    first_date: date | None = None
    last_date: date | None = None


@dataclass(frozen=True)
class _Counts:
    loaded: int
    changed: int
    removed: int


def import_calendar(
    connection: psycopg.Connection,
    kind: Kind,
    read: Input,
    mapping: Mapping,
    tenant: str | None,
    scope: Scope,
    bar: Progress,
) -> ImportReport:
    """Make busy times or holidays of one scope what the file says.

    Dates and local times are those of the window's zone. Raises Problem (exit code 2) where the
    file is damaged, which changes nothing. What came of events that are rejected stays.
    """
    events = Events(read)
    with connection.transaction():
        owner, created = tenant_of(connection, mapping, tenant)
        report = ImportReport(kind, read.name, "line", owner.name)
        report.created |= created
        person = chosen_staff(connection, [owner], scope.staff)
        loader = _CalendarLoader(connection, owner, mapping, report)
        loader.staff_id = person.id if person else None
        loader.location_id = loader.location_called(scope.location)
        window = calendar_window(
            connection,
            owner.id,
            (scope.first_date, scope.last_date),
            staff_id=loader.staff_id,
            location_id=loader.location_id,
            days_back=1,
            time_zone=mapping.time_zone,
        )
        loader.make_so(events, window, bar)
    loader.finish()
    return report


class _CalendarLoader(Loader):
    """One file's way into one scope."""

    staff_id: UUID | None = None
    location_id: UUID | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.kept: set[str] = set()
        self.zones: dict[str | None, bool] = {}

    @property
    def scope(self) -> str:
        """With what external ids end. `/` keeps it from being a part of another's."""
        if self.report.kind is Kind.BUSY_TIMES:
            return f"/{self.staff_id}"
        return f"/{self.staff_id or 'everyone'}/{self.location_id or 'everywhere'}"

    def location_called(self, name: str | None) -> UUID | None:
        """The place of that external id or name. Raises Problem (exit code 2)."""
        try:
            return self.directory("location").find(name) if name else None
        except Cell.NotUnderstood as error:
            raise Problem(f"--location {name!r}: {error.reason}.", None, EXIT_USAGE) from None

    def make_so(self, events: Events, window: Window, bar: Progress) -> None:
        """Write the differences between the file and the database."""
        for name, line in events.ignored.items():
            if name in NOT_READ:
                self.report.notes.append(Note(line, f"{name} is not read, only VEVENT"))
        for bad in events.bad:
            self._bad(bad)
        rows = []
        for uid in bar.track(events.series, description="events"):
            for found in events.occurrences(uid, window):
                if isinstance(found, BadEvent):
                    self._bad(found)
                # Holidays are mostly published as transparent, and are closed all the same.
                elif self.report.kind is Kind.HOLIDAYS or not found.is_transparent:
                    rows.append(self._row(found, window.time_zone))
        wanted = [*self._in_window([row for row in rows if self.is_first(row)], window)]
        self.report.rows = len(wanted) + len(self.report.rejected)
        parameters = self.parameters(wanted) | {
            "staff_id": self.staff_id,
            "location_id": self.location_id,
            "scope": self.scope,
            "kept": sorted(self.kept),
            "first_date": window.first_date,
            "last_date": window.last_date,
            "window_start": window.start_time,
            "window_end": window.end_time,
        }
        execute(self.connection, "import_calendar_lock", **parameters)
        (counts,) = fetch(
            self.connection, f"import_calendar_{self.report.kind.section}", _Counts, **parameters
        )
        self.report.loaded, self.report.changed = counts.loaded, counts.changed
        self.report.removed = counts.removed
        self.report.already_there = len(wanted) - counts.loaded - counts.changed

    def _bad(self, event: BadEvent) -> None:
        if event.is_harmless:
            self.report.notes.append(Note(event.line, f"UID {event.uid!r} {event.reason}"))
            return
        self.kept.add(event.uid)
        row = ImportRow(event.line, {"uid": event.uid}, event.uid)
        self.reject(row, "UID", event.uid, event.reason)

    def _row(self, found: Occurrence, zone: str) -> ImportRow:
        start, end = found.start, found.end
        cells = {"uid": found.uid, "start": start.isoformat(), "end": end.isoformat()}
        values: dict[str, Any] = {"own_time_zone": zone, "is_all_day": True}
        if isinstance(start, datetime) and isinstance(end, datetime):
            own_zone = self._zone_in_the_database(start) or zone
            values = {"own_time_zone": own_zone, "is_all_day": False}
            start, end = _as_database_reads(start, own_zone), _as_database_reads(end, own_zone)
        values |= moment_values("start", start)
        if found.duration:
            values["duration_minutes"] = found.duration / timedelta(minutes=1)
        else:
            values |= moment_values("end", end)
        values["note"] = found.summary or None
        return ImportRow(found.line, cells, f"{found.id}{self.scope}", values=values)

    def _zone_in_the_database(self, moment: datetime) -> str | None:
        """The name of its zone, where both Python and PostgreSQL know it."""
        name = getattr(moment.tzinfo, "key", None)
        if name not in self.zones:
            self.zones[name] = name is not None and fetch_value(
                self.connection, "import_is_time_zone", time_zone=name
            )
        return name if self.zones[name] else None

    def _in_window(self, rows: list[ImportRow], window: Window) -> Iterator[ImportRow]:
        """What the rows are in the database: as busy times themselves, as holidays day by day."""
        self.report.notes += self.set_times(rows)
        for row in rows:
            start, end = row.start_time, row.end_time
            if start is None or end is None or end <= start:
                self._bad_where_clocks_change(row, "ends before it starts")
            elif start < window.end_time and end > window.start_time:
                if self.report.kind is Kind.BUSY_TIMES:
                    yield row
                else:
                    yield from self._days(row, start, end, ZoneInfo(window.time_zone))

    def _days(
        self, row: ImportRow, start: datetime, end: datetime, zone: ZoneInfo
    ) -> Iterator[ImportRow]:
        if row.values["is_all_day"]:
            first = datetime.fromisoformat(row.values["start_local"])
            last = datetime.fromisoformat(row.values["end_local"])
        else:
            first = start.astimezone(zone).replace(tzinfo=None, second=0, microsecond=0)
            last = _up_to_the_minute(end.astimezone(zone).replace(tzinfo=None))
        if last <= first:
            self._bad_where_clocks_change(row, "ends by the clock before it starts")
            return
        closed = [*_by_dates(first, last)]
        for days in closed:
            part = f"/{days['first_date']}" if len(closed) > 1 else ""
            external_id = f"{row.external_id.removesuffix(self.scope)}{part}{self.scope}"
            values = days | {"note": row.values["note"]}
            yield ImportRow(row.line, row.cells, external_id, values=values)

    def _bad_where_clocks_change(self, row: ImportRow, what: str) -> None:
        times = f"{row.cells['start']} to {row.cells['end']}"
        reason = f"{what}, for clocks change: {times}"
        self._bad(BadEvent(row.line, row.cells["uid"], reason))


def _as_database_reads(moment: datetime, zone: str) -> datetime:
    """A local time of that zone, or an instant: the later of two, as PostgreSQL takes it."""
    if moment.tzinfo is None or getattr(moment.tzinfo, "key", None) == zone:
        return moment.replace(tzinfo=None)
    return max(moment.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _up_to_the_minute(moment: datetime) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    return whole if whole == moment else whole + timedelta(minutes=1)


def _by_dates(start: datetime, end: datetime) -> Iterator[dict[str, str | None]]:
    """The rest of the first date, whole days, the beginning of the last; what there is of them."""
    day = timedelta(days=1)
    midnight = datetime.combine(start, time())
    if start.date() == end.date():
        yield _closed(start, start, start, end)
        return
    if start > midnight:
        yield _closed(start, start, start, None)
        midnight += day
    last = datetime.combine(end, time())
    if midnight < last:
        yield _closed(midnight, last - day, None, None)
    if end > last:
        yield _closed(last, last, last, end)


def _closed(
    first: datetime, last: datetime, start: datetime | None, end: datetime | None
) -> dict[str, str | None]:
    whole = start is None and end is None
    return {
        "first_date": first.date().isoformat(),
        "last_date": last.date().isoformat(),
        "start_time": start.time().isoformat() if start else None,
        "end_time": end.time().isoformat() if end else None if whole else MIDNIGHT_AT_THE_END,
    }
