"""Imports: rows of a CSV file or a query in, with a mapping; what cannot be loaded is listed and
the rest is.

Rows are sorted by person and time, so that several imports and the people at work meet the
calendars' locks in one order, and go in by batches, each one transaction. Every row has an external
id, its own or one made of what it says, and a row whose id is there already is left alone: that
makes a second run change nothing, and an interrupted one go on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from pgbooking.csv_file import BadRow, CsvFile
from pgbooking.errors import EXIT_USAGE, Problem, explain
from pgbooking.import_mapping import Kind, Mapping
from pgbooking.import_query import QueryRows
from pgbooking.import_rows import Cell, ImportRow, RowParser
from pgbooking.output import shown
from pgbooking.rows import execute, fetch, fetch_value, fetch_values
from pgbooking.tenants import Tenant, chosen_tenants

if TYPE_CHECKING:
    from rich.progress import Progress

BATCH = 500

# SQLSTATE classes that one row can be to blame for: its data (22), a constraint (23).
ROW_ERRORS = {"22", "23"}


@dataclass(frozen=True)
class Rejected:
    """A row that was not loaded; `line` is where it begins in the file, or its number."""

    line: int
    field: str | None
    value: str | None
    reason: str
    row: dict[str, str]


@dataclass(frozen=True)
class Note:
    """Something about a row that was loaded."""

    line: int
    text: str


@dataclass
class ImportReport:
    """What an import did. `queued` calendars of the tenant wait to be published.

    `unit` is what the numbers called `line` count: lines of a file, or rows of a query.
    """

    kind: Kind
    file: str
    unit: str
    tenant: str
    rows: int = 0
    loaded: int = 0
    changed: int = 0
    removed: int = 0
    already_there: int = 0
    queued: int = 0
    interrupted: bool = False
    created: dict[str, list[str]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """A person, place or service that is there."""

    id: UUID
    external_id: str | None
    name: str


@dataclass(frozen=True)
class _Times:
    """A row's times as instants, and what its local times had of it that is odd."""

    external_id: str
    start_time: datetime
    end_time: datetime | None
    buffer_before_minutes: int
    buffer_after_minutes: int
    time_zone: str
    start_oddity: str | None
    end_oddity: str | None


@dataclass(frozen=True)
class _NotLoaded:
    """Why a row has not gone in: it was there, or these appointments take its time."""

    external_id: str
    is_there: bool
    overlapped_id: str | None
    overlapped_start: datetime | None
    overlapped_end: datetime | None


def import_rows(
    connection: psycopg.Connection,
    kind: Kind,
    source: CsvFile | QueryRows,
    mapping: Mapping,
    tenant: str | None,
    bar: Progress,
) -> ImportReport:
    """Load a file or a query's rows into one tenant: the one named, else the mapping's.

    Raises Problem (exit code 2) where the source or the mapping cannot be used at all; of single
    rows the report says what is wrong. Local times are read in the mapping's zone for this kind,
    else the location's; one that does not exist or comes twice is taken as the later instant and
    noted.
    """
    rows, rejected = read(source, RowParser(kind, mapping))
    with connection.transaction():
        owner, created = tenant_of(connection, mapping, tenant)
        report = ImportReport(kind, source.name, source.unit, owner.name)
        report.rows = len(rows) + len(rejected)
        report.created |= created
        report.rejected += rejected
        loader = Loader(connection, owner, mapping, report)
        resolved = loader.resolve(rows)
    try:
        loader.load(resolved, bar)
    except KeyboardInterrupt:
        report.interrupted = True
    loader.finish()
    return report


def print_report(report: ImportReport) -> None:
    """The report for people."""
    for what, names in report.created.items():
        print(f"Made {what}: {shown(', '.join(names))}")
    print_rows(report.unit, report.notes, report.rejected)
    counts = [(report.rows, "rows"), (report.loaded, "loaded")]
    counts += [
        (count, what)
        for count, what in ((report.changed, "changed"), (report.removed, "removed"))
        if count
    ]
    counts += [(report.already_there, "there already"), (len(report.rejected), "rejected")]
    told = ", ".join(f"{count:,} {what}" for count, what in counts)
    print(f"{report.file} into {report.tenant}: {told}.")
    if report.interrupted:
        print("Stopped. What is loaded stays; run the same command again to go on.")
    if report.queued:
        print(
            f"{report.queued:,} calendars wait in the queue to be published, by its job or by "
            "pgbooking backfill."
        )


def print_rows(unit: str, notes: list[Note], rejected: list[Rejected]) -> None:
    """What is to be said of single rows."""
    for note in notes:
        print(f"{unit} {note.line}: note: {shown(note.text)}")
    for each in rejected:
        about = f"{each.field} {each.value!r}: " if each.field else ""
        print(f"{unit} {each.line}: rejected: {shown(about + each.reason)}")


def write_rejects(report: ImportReport, path: Path) -> None:
    """The rejected rows as CSV: line, field, value and reason, then the columns they had."""
    columns = list(dict.fromkeys(name for each in report.rejected for name in each.row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([report.unit, "field", "value", "reason", *columns])
        for each in report.rejected:
            cells = [each.row.get(name) for name in columns]
            writer.writerow([each.line, each.field, each.value, each.reason, *cells])


def read(source: CsvFile | QueryRows, parser: RowParser) -> tuple[list[ImportRow], list[Rejected]]:
    """Every row of the source, understood or rejected."""
    rows: list[ImportRow] = []
    rejected: list[Rejected] = []
    for row in source.rows():
        if isinstance(row, BadRow):
            rejected.append(Rejected(row.line, "row", row.text, row.reason, {}))
            continue
        try:
            rows.append(parser.parse(row))
        except Cell.NotUnderstood as error:
            rejected.append(Rejected(row.line, error.field, error.value, error.reason, row.cells))
    parser.check_header(source.name, source.header)
    return rows, rejected


def tenant_of(
    connection: psycopg.Connection, mapping: Mapping, named: str | None
) -> tuple[Tenant, dict[str, list[str]]]:
    """The tenant, made from the mapping's [tenant] if it is not there and may be made."""
    new = mapping.tenant
    named = named or new.slug
    if named is None:
        raise Problem(
            "Whose file is it? No tenant is named.",
            "--tenant, or slug in the mapping's [tenant].",
            EXIT_USAGE,
        )
    may_be_made = mapping.create_missing and named == new.slug and new.name and new.time_zone
    try:
        return chosen_tenants(connection, named)[0], {}
    except Problem:
        if not may_be_made:
            raise
    execute(connection, "import_make_tenant", **vars(new))
    return chosen_tenants(connection, named)[0], {"tenant": [named]}


class Directory:
    """People, places or services by external id or, where that is nobody's, by name or code, or
    by id."""

    def __init__(
        self, field_name: str, known: list[_Known], refused: dict[tuple[str, str], str]
    ) -> None:
        self.field = field_name
        self.by_external_id = {each.external_id: each.id for each in known if each.external_id}
        self.by_name: dict[str, list[UUID]] = {}
        self.by_id = {str(each.id): each.id for each in known}
        self.refused = refused
        for each in known:
            self.by_name.setdefault(each.name, []).append(each.id)

    def __contains__(self, name: str) -> bool:
        return name in self.by_external_id or name in self.by_name

    def find(self, name: str) -> UUID:
        """Raises Cell.NotUnderstood where there is none of that name, or more than one."""
        if name in self.by_external_id:
            return self.by_external_id[name]
        ids = self.by_name.get(name, [])
        if len(ids) == 1:
            return ids[0]
        if not ids and name.lower() in self.by_id:
            return self.by_id[name.lower()]
        reason = f"{len(ids)} have this name: use external ids" if ids else "there is none"
        reason = self.refused.get((self.field, name), reason)
        raise Cell.NotUnderstood(self.field, name, reason)


def _is_of_one_row(error: psycopg.Error) -> bool:
    return (error.sqlstate or "")[:2] in ROW_ERRORS


class Loader:
    """One source's way into one tenant."""

    def __init__(
        self, connection: psycopg.Connection, tenant: Tenant, mapping: Mapping, report: ImportReport
    ) -> None:
        self.connection = connection
        self.tenant = tenant
        self.mapping = mapping
        self.report = report
        self.first: dict[str, ImportRow] = {}
        self.refused: dict[tuple[str, str], str] = {}
        self._check_time_zone()

    def finish(self) -> None:
        """Put the report in order, and say what waits to be published."""
        self.report.rejected.sort(key=lambda each: each.line)
        self.report.notes.sort(key=lambda each: each.line)
        self.report.queued = fetch_value(
            self.connection, "backfill_waiting", tenant_ids=[self.tenant.id], staff_id=None
        )

    # Names become ids

    def resolve(self, rows: list[ImportRow]) -> list[ImportRow]:
        """The rows whose people, places and services are there, or could be made."""
        unique = [row for row in rows if self.is_first(row)]
        if self.mapping.create_missing:
            self._make_missing(unique)
        staff = self.directory("staff")
        services = self.directory("service")
        locations = self.directory("location")
        default_location = self._default_location(locations)
        resolved = []
        for row in unique:
            try:
                if row.staff is not None:
                    row.values["staff_id"] = str(staff.find(row.staff))
                if row.services:
                    row.values["appointment_type_ids"] = [
                        str(services.find(each)) for each in row.services
                    ]
                if self.report.kind in {Kind.APPOINTMENTS, Kind.HOURS, Kind.SLOTS}:
                    location = locations.find(row.location) if row.location else default_location
                    if location is not None:
                        row.values["location_id"] = str(location)
                    elif self.report.kind is not Kind.SLOTS:
                        raise Cell.NotUnderstood(
                            "location", "", "the tenant has several, and the row names none"
                        )
                resolved.append(row)
            except Cell.NotUnderstood as error:
                self.reject(row, error.field, error.value, error.reason)
        return resolved

    def is_first(self, row: ImportRow) -> bool:
        """Whether no row before has its external id; else it is rejected."""
        first = self.first.setdefault(row.external_id, row)
        if first is not row:
            reason = f"stands on {self.report.unit} {first.line}, too"
            self.reject(row, "external_id", row.external_id, reason)
        return first is row

    def _make_missing(self, rows: list[ImportRow]) -> None:
        """Make people and services that rows name and that are not there, and who offers what."""
        people = self.directory("staff")
        services = self.directory("service")
        new_people = {row.staff for row in rows if row.staff and row.staff not in people}
        new_services = {each for row in rows for each in row.services if each not in services}
        for name in sorted(new_people):
            self._make("staff", name)
        for code in sorted(new_services):
            minutes = self.mapping.durations.get(code, self.mapping.default_duration_minutes)
            if minutes is None:
                self.refused["service", code] = "there is none, and no duration to make it with"
            else:
                self._make("service", code, duration_minutes=minutes)
        # Pairs of what was there before are somebody's decision.
        pairs = sorted(
            {
                (row.staff, each)
                for row in rows
                for each in row.services
                if row.staff and (row.staff in new_people or each in new_services)
            }
        )
        execute(
            self.connection,
            "import_make_assignments",
            tenant_id=self.tenant.id,
            staff=[staff for staff, _ in pairs],
            services=[service for _, service in pairs],
        )

    def _make(self, what: str, name: str, **parameters: object) -> None:
        """Make one. If the database will not have it, the rows that name it say why."""
        try:
            with self.connection.transaction():
                execute(
                    self.connection,
                    f"import_make_{what}",
                    tenant_id=self.tenant.id,
                    value=name,
                    **parameters,
                )
        except psycopg.Error as error:
            if not _is_of_one_row(error):
                raise
            self.refused[what, name] = f"cannot be made: {explain(error).message}"
        else:
            self.report.created.setdefault(what, []).append(name)

    def _default_location(self, locations: Directory) -> UUID | None:
        name = self.mapping.location.name
        if name is None:
            ids = fetch_values(self.connection, "import_only_location", tenant_id=self.tenant.id)
            return ids[0] if len(ids) == 1 else None
        if name not in locations and self.mapping.create_missing:
            location_id: UUID = fetch_value(
                self.connection, "import_make_location", tenant_id=self.tenant.id, value=name
            )
            self.report.created["location"] = [name]
            return location_id
        try:
            return locations.find(name)
        except Cell.NotUnderstood as error:
            raise Problem(
                f"The mapping's location {name!r}: {error.reason}.", None, EXIT_USAGE
            ) from None

    def directory(self, what: str) -> Directory:
        known = fetch(self.connection, f"import_known_{what}", _Known, tenant_id=self.tenant.id)
        return Directory(what, known, self.refused)

    def _check_time_zone(self) -> None:
        zone = self.mapping.time_zone
        if zone and not fetch_value(self.connection, "import_is_time_zone", time_zone=zone):
            raise Problem(
                f"The mapping's time_zone {zone!r} is not a name of the IANA time zone database.",
                "For example: America/Winnipeg",
                EXIT_USAGE,
            )

    # Rows go in

    def load(self, rows: list[ImportRow], bar: Progress) -> None:
        """Load in order of person and time, a batch at a time."""
        rows.sort(key=lambda row: (row.values.get("staff_id", ""), row.order, row.line))
        task = bar.add_task("rows", total=len(rows))
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            self._load(batch)
            bar.advance(task, len(batch))

    def _load(self, rows: list[ImportRow]) -> None:
        """One transaction; if a row breaks it, each half by itself, down to that row."""
        try:
            with self.connection.transaction():
                loaded, notes, rejected = self._insert(rows)
        except psycopg.Error as error:
            if not _is_of_one_row(error):
                raise
            if len(rows) == 1:
                self.reject(rows[0], "row", rows[0].in_words, explain(error).message)
                return
            half = len(rows) // 2
            self._load(rows[:half])
            self._load(rows[half:])
            return
        self.report.loaded += loaded
        self.report.already_there += len(rows) - loaded - len(rejected)
        self.report.notes += notes
        for row, reason in rejected:
            self.reject(row, "start", row.in_words, reason)

    def _insert(self, rows: list[ImportRow]) -> tuple[int, list[Note], list[tuple[ImportRow, str]]]:
        kind = self.report.kind
        notes = list(self.set_times(rows)) if kind in {Kind.BUSY_TIMES, Kind.APPOINTMENTS} else []
        inserted = set(
            fetch_values(self.connection, f"import_{kind.section}", **self.parameters(rows))
        )
        if kind is Kind.STAFF:
            new = [row for row in rows if row.external_id in inserted and row.services]
            execute(self.connection, "import_staff_services", **self.parameters(new))
        rejected: list[tuple[ImportRow, str]] = []
        if kind is Kind.APPOINTMENTS:
            left_out = [row for row in rows if row.external_id not in inserted]
            rejected = list(self._overlapping(left_out))
            refused = {row.line for row, _ in rejected}
            notes = [note for note in notes if note.line not in refused]
        return len(inserted), notes, rejected

    def set_times(self, rows: list[ImportRow]) -> Iterator[Note]:
        """Turn local times into instants, and note those that clock changes make odd."""
        by_id = {row.external_id: row for row in rows}
        for times in fetch(self.connection, "import_times", _Times, **self.parameters(rows)):
            row = by_id[times.external_id]
            row.start_time, row.end_time = times.start_time, times.end_time
            row.values |= {
                "start_time": times.start_time.isoformat(),
                "end_time": times.end_time and times.end_time.isoformat(),
                "buffer_before_minutes": times.buffer_before_minutes,
                "buffer_after_minutes": times.buffer_after_minutes,
            }
            for name, oddity, instant in (
                ("start", times.start_oddity, times.start_time),
                ("end", times.end_oddity, times.end_time),
            ):
                if oddity:
                    yield Note(
                        row.line,
                        f"{name} {row.values[f'{name}_local']} {oddity} in {times.time_zone}, "
                        f"where clocks change; taken as {instant:%Y-%m-%d %H:%M} UTC",
                    )

    def _overlapping(self, rows: list[ImportRow]) -> Iterator[tuple[ImportRow, str]]:
        """The rows whose time is taken, each with the first that takes it."""
        by_id = {row.external_id: row for row in rows}
        for each in fetch(
            self.connection,
            "import_appointments_not_loaded",
            _NotLoaded,
            **self.parameters(rows),
        ):
            if not each.is_there:
                yield by_id[each.external_id], self._overlap(each)

    def _overlap(self, each: _NotLoaded) -> str:
        if each.overlapped_id in self.first:
            return f"overlaps {self.report.unit} {self.first[each.overlapped_id].line}"
        if each.overlapped_start is None or each.overlapped_end is None:
            return "overlapped another appointment that is gone by now: run the import again"
        zone = ZoneInfo(self.tenant.timezone)
        start, end = (
            each.overlapped_start.astimezone(zone),
            each.overlapped_end.astimezone(zone),
        )
        return (
            f"overlaps an appointment from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} "
            f"({self.tenant.timezone}) that is not of this file"
        )

    def parameters(self, rows: list[ImportRow]) -> dict[str, object]:
        values = [{"line": row.line, "external_id": row.external_id, **row.values} for row in rows]
        return {
            "tenant_id": self.tenant.id,
            "source": self.mapping.source,
            "time_zone": self.mapping.time_zone,
            "use_buffers": self.mapping.use_buffers,
            "rows": Jsonb(values),
        }

    def reject(
        self, row: ImportRow, field_name: str | None, value: str | None, reason: str
    ) -> None:
        self.report.rejected.append(Rejected(row.line, field_name, value, reason, row.cells))
