"""Compare what is published with what another system offers: the parallel run of a move.

Both are looked at as of one moment. What only one of the two offers is a difference; each gets
a cause, a word to count and to accept by, and a sentence with the row that decided. Why pgbooking
does not offer a start is asked of the calculator; why the other system does not can only be seen
from what it offers otherwise (compare_causes).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from pgbooking.compare_causes import WORDS, OldStarts
from pgbooking.csv_file import CsvFile
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.import_mapping import Kind
from pgbooking.import_mapping import Mapping as ImportMapping
from pgbooking.import_query import QueryRows
from pgbooking.import_rows import MINUTES_OF_A_DAY, ImportRow, RowParser
from pgbooking.importers import ImportReport, Loader, Note, Rejected, print_rows, read
from pgbooking.rows import fetch, fetch_value
from pgbooking.tenants import StaffMember, Tenant, chosen_staff, chosen_tenants
from pgbooking.verify import Difference, TenantReport, calendars_of, one_moment, record

if TYPE_CHECKING:
    from rich.progress import Progress

EXPLAINED_AT_ONCE = 200
SHOWN_EXAMPLES = 3

Row = TypeVar("Row")


@dataclass(frozen=True)
class Cause:
    """How many differences have this cause, and of them how many somebody has accepted."""

    cause: str
    differences: int
    accepted: int

    @property
    def in_words(self) -> str:
        """For people."""
        accepted = self.accepted == self.differences
        return f"{self.cause} {self.differences:,}{' (accepted)' if accepted else ''}"


@dataclass
class Comparison(TenantReport):
    """A tenant's comparison: `slots` are ours, `old_starts` the other system's on those dates."""

    recorded_by: ClassVar = "compare_record_run"
    unit: str = "line"
    from_date: date | None = None
    to_date: date | None = None
    old_starts: int = 0
    left_out: int = 0
    notes: list[Note] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def not_accepted(self) -> int:
        return sum(each.accepted_at is None for each in self.differences)

    @property
    def causes(self) -> list[Cause]:
        """The most frequent first."""
        every = Counter(each.cause or "" for each in self.differences)
        accepted = Counter(each.cause for each in self.differences if each.accepted_at)
        return [Cause(name, number, accepted[name]) for name, number in every.most_common()]

    @property
    def is_clean(self) -> bool:
        """Whether everything could be compared and nothing differs but what is accepted."""
        return not self.not_accepted and not self.rejected


@dataclass(frozen=True)
class Offer:
    """What can be booked: a service, so many minutes, or (neither) whatever the person does.

    `name` is what the other system calls it, of its names for it the first.
    """

    type_id: UUID | None
    minutes: int | None
    name: str = field(compare=False)


@dataclass(frozen=True)
class _OldStart:
    """A start that the other system offers; no place means any."""

    line: int
    staff_id: UUID
    offer: Offer
    location_id: UUID | None
    start_time: datetime


@dataclass(frozen=True)
class _Slot:
    slot_id: UUID
    staff_id: UUID
    offer: int
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True)
class _Place:
    id: UUID
    time_zone: str


@dataclass(frozen=True)
class _Missing:
    """Why a start is not published. `besides`: what else stands in its way."""

    number: int
    person: str
    zone: str
    local_time: str
    slot_id: UUID | None
    cause: str
    rule: str
    message: str | None
    evidence: list[dict[str, Any]]
    besides: list[str]


@dataclass(frozen=True)
class _Extra:
    """A published slot, and the row that opens its time."""

    number: int
    person: str
    zone: str
    local_time: str
    is_queued: bool
    is_calculated: bool
    source: str | None
    id: UUID | None
    open_from_to: str | None


@dataclass(frozen=True)
class _Accepted:
    cause: str
    accepted_at: datetime


def only_tenant(connection: psycopg.Connection, named: str | None) -> Tenant:
    """The tenant that is named, or the only one there is."""
    tenants = chosen_tenants(connection, named)
    if len(tenants) != 1:
        raise Problem(
            f"There are {len(tenants)} tenants, and this is about one.",
            "Say which, with --tenant.",
            EXIT_USAGE,
        )
    return tenants[0]


def compare(
    connection: psycopg.Connection,
    bar: Progress,
    source: CsvFile | QueryRows,
    mapping: ImportMapping,
    tenant: str | None = None,
    staff: str | None = None,
    *,
    from_date: date | None = None,
    to_date: date | None = None,
) -> Comparison:
    """Compare one tenant's published slots with the rows of `source`, and record the run.

    Compared are the people and the offers that the rows name, each with each, from `from_date`
    (today) to `to_date` (the last that the rows have, at most what is published): local dates of
    the place, inclusive. Raises Problem where the source cannot be used at all, or is empty; of
    single rows the report says what is wrong.
    """
    began = time.perf_counter()
    owner = only_tenant(connection, tenant or mapping.tenant.slug)
    person = chosen_staff(connection, [owner], staff)
    with one_moment(connection):
        rows, rejected = read(source, RowParser(Kind.SLOTS, mapping))
        if not rows and not rejected:
            raise Problem("The old system offers nothing at all: there is no row to compare.")
        now: datetime = fetch_value(connection, "verify_now")
        report = Comparison(
            owner.id, owner.name, is_independent=False, started_at=now, unit=source.unit
        )
        report.rejected = rejected
        starts = _understood(connection, owner, mapping, source, rows, report)
        comparer = _Comparer(connection, owner, person, report, starts)
        comparer.choose_dates(from_date, to_date)
        comparer.compare(bar)
    report.rejected.sort(key=lambda each: each.line)
    with connection.transaction():
        accepted = {
            each.cause: each.accepted_at
            for each in fetch(connection, "compare_accepted", _Accepted, tenant_id=owner.id)
        }
        report.differences = [
            replace(each, accepted_at=accepted.get(each.cause or "")) for each in report.differences
        ]
        record(connection, report, [])
    report.seconds = time.perf_counter() - began
    return report


def print_report(report: Comparison) -> None:
    """The report for people: counts by cause, and a few examples of what is not accepted."""
    print_rows(report.unit, report.notes, report.rejected)
    print(
        f"{report.tenant}, {report.from_date} to {report.to_date}: {report.old_starts:,} starts of "
        f"the old system and {report.slots:,} published ones of {report.calendars:,} people "
        f"compared in {report.seconds:.1f} s: {len(report.differences) or 'no'} differences, "
        f"{report.not_accepted:,} not accepted."
    )
    if report.left_out:
        print(f"  {report.left_out:,} rows are of other dates or people and were left out.")
    for cause in report.causes:
        print(f"  {cause.in_words}: {WORDS.get(cause.cause, 'see the rule')}")
        found = [
            each
            for each in report.differences
            if each.cause == cause.cause and each.accepted_at is None
        ]
        for difference in found[:SHOWN_EXAMPLES]:
            print(f"    {difference.kind}: {difference.reason}")
        if len(found) > SHOWN_EXAMPLES:
            print(f"    … and {len(found) - SHOWN_EXAMPLES:,} more: --json")


def summary(report: Comparison) -> str:
    """The report in a line."""
    line = f"{report.tenant}: {len(report.differences):,} differences from the old system, "
    line += f"{report.not_accepted:,} not accepted"
    if report.rejected:
        line += f", {len(report.rejected):,} rows rejected"
    causes = ", ".join(each.in_words for each in report.causes)
    return f"{line}: {causes}" if causes else line


def _understood(
    connection: psycopg.Connection,
    tenant: Tenant,
    mapping: ImportMapping,
    source: CsvFile | QueryRows,
    rows: list[ImportRow],
    report: Comparison,
) -> list[_OldStart]:
    """The rows with names as ids and times as instants; the others are rejected."""
    resolving = ImportReport(Kind.SLOTS, source.name, source.unit, tenant.name)
    loader = Loader(connection, tenant, replace(mapping, create_missing=False), resolving)
    resolved = loader.resolve(rows)
    report.notes = list(loader.set_times(resolved))
    report.rejected += resolving.rejected
    starts = []
    for row in resolved:
        minutes = _minutes(row)
        if minutes is not None and not 1 <= minutes <= MINUTES_OF_A_DAY:
            reason = "is not 1 to 1440 minutes after the start"
            report.rejected.append(Rejected(row.line, "end", row.in_words, reason, row.cells))
        elif row.start_time:
            starts.append(
                _OldStart(
                    row.line,
                    UUID(row.values["staff_id"]),
                    _offer(row, minutes),
                    UUID(row.values["location_id"]) if "location_id" in row.values else None,
                    row.start_time,
                )
            )
    return starts


def _minutes(row: ImportRow) -> int | None:
    if row.start_time is None or row.end_time is None:
        return None
    return int((row.end_time - row.start_time).total_seconds() // 60)


def _offer(row: ImportRow, minutes: int | None) -> Offer:
    """A service says more than its length."""
    if row.services:
        return Offer(UUID(row.values["appointment_type_ids"][0]), None, row.services[0])
    return Offer(None, minutes, "anything" if minutes is None else f"{minutes} min")


class _Comparer:
    """One comparison, inside its moment."""

    def __init__(
        self,
        connection: psycopg.Connection,
        tenant: Tenant,
        person: StaffMember | None,
        report: Comparison,
        starts: list[_OldStart],
    ) -> None:
        self.connection = connection
        self.tenant = tenant
        self.report = report
        self.zones = {
            each.id: ZoneInfo(each.time_zone)
            for each in fetch(connection, "compare_places", _Place, tenant_id=tenant.id)
        }
        self.tenant_zone = ZoneInfo(tenant.timezone)
        self.starts = [each for each in starts if person is None or each.staff_id == person.id]
        report.left_out = len(starts) - len(self.starts)
        self.staff_ids = sorted({each.staff_id for each in self.starts})
        self.offers = sorted(
            {each.offer for each in self.starts}, key=lambda each: (each.name, str(each.type_id))
        )
        self.calendars = [
            each
            for each in calendars_of(connection, tenant.id, person)
            if each.staff_id in self.staff_ids
        ]
        report.calendars = len(self.calendars)
        report.calendars_queued = sum(each.is_queued for each in self.calendars)

    def choose_dates(self, from_date: date | None, to_date: date | None) -> None:
        """From today to the last date of both, unless the user says otherwise."""
        today = self.report.started_at.astimezone(self.tenant_zone).date()
        last = min(
            max((self._date(each) for each in self.starts), default=today),
            max((each.materialized_until for each in self.calendars), default=today),
        )
        self.report.from_date = from_date or today
        self.report.to_date = to_date or max(last, self.report.from_date)
        if self.report.to_date < self.report.from_date:
            raise Problem(
                f"--to {self.report.to_date} is before {self.report.from_date}.", None, EXIT_USAGE
            )

    def compare(self, bar: Progress) -> None:
        """Find what only one of the two offers, and explain it."""
        report = self.report
        slots = self._published()
        ours: dict[tuple[object, ...], set[UUID]] = {}
        for slot in slots:
            key = (slot.staff_id, self.offers[slot.offer], slot.start_time)
            ours.setdefault(key, set()).add(slot.location_id)
        theirs: dict[tuple[object, ...], dict[UUID | None, _OldStart]] = {}
        for start in self.starts:
            key = (start.staff_id, start.offer, start.start_time)
            theirs.setdefault(key, {}).setdefault(start.location_id, start)
        # What is named twice is one start.
        compared = [
            start
            for places in theirs.values()
            for start in places.values()
            if self._is_compared(start)
        ]
        report.slots = len(slots)
        report.old_starts = len(compared)
        report.left_out += sum(not self._is_compared(each) for each in self.starts)
        missing = [
            start
            for start in compared
            if not _meet(
                start.location_id,
                ours.get((start.staff_id, start.offer, start.start_time), set()),
            )
        ]
        extra = [
            slot
            for slot in slots
            if not _meet(
                slot.location_id,
                theirs.get((slot.staff_id, self.offers[slot.offer], slot.start_time), {}).keys(),
            )
        ]
        task = bar.add_task("differences", total=len(missing) + len(extra))
        for batch in _batches(missing):
            report.differences += self._explain_missing(batch)
            bar.advance(task, len(batch))
        old = OldStarts()
        for start in self.starts:
            old.add(start.staff_id, start.offer, start.location_id, self._local(start))
        for several in _batches(extra):
            report.differences += self._explain_extra(several, old)
            bar.advance(task, len(several))
        report.differences.sort(key=lambda each: (str(each.start_time), each.kind, each.reason))

    def _published(self) -> list[_Slot]:
        return fetch(
            self.connection,
            "compare_published",
            _Slot,
            tenant_id=self.tenant.id,
            staff_ids=self.staff_ids,
            offers=list(range(len(self.offers))),
            type_ids=[each.type_id for each in self.offers],
            minutes=[each.minutes for each in self.offers],
            from_date=self.report.from_date,
            to_date=self.report.to_date,
        )

    def _explain_missing(self, starts: Sequence[_OldStart]) -> Iterator[Difference]:
        for found in fetch(
            self.connection,
            "compare_missing",
            _Missing,
            tenant_id=self.tenant.id,
            numbers=list(range(len(starts))),
            staff_ids=[each.staff_id for each in starts],
            location_ids=[each.location_id for each in starts],
            type_ids=[each.offer.type_id for each in starts],
            minutes=[each.offer.minutes for each in starts],
            starts=[each.start_time for each in starts],
        ):
            start = starts[found.number]
            lead = WORDS.get(found.cause, f"the old system does without the rule {found.rule}")
            besides = f"Besides: {' '.join(found.besides)}" if found.besides else None
            yield Difference(
                promise="legacy",
                kind="missing",
                staff_id=start.staff_id,
                slot_id=found.slot_id,
                start_time=start.start_time,
                published=None,
                expected={
                    "line": start.line,
                    "offer": start.offer.name,
                    "rule": found.rule,
                    "evidence": found.evidence,
                },
                reason=_reason(found, start.offer, lead, found.message, found.evidence, besides),
                cause=found.cause,
            )

    def _explain_extra(self, slots: Sequence[_Slot], old: OldStarts) -> Iterator[Difference]:
        for found in fetch(
            self.connection,
            "compare_extra",
            _Extra,
            tenant_id=self.tenant.id,
            numbers=list(range(len(slots))),
            staff_ids=[each.staff_id for each in slots],
            location_ids=[each.location_id for each in slots],
            shape_ids=[each.shape_id for each in slots],
            starts=[each.start_time for each in slots],
            from_date=self.report.from_date,
            to_date=self.report.to_date,
        ):
            slot = slots[found.number]
            offer = self.offers[slot.offer]
            message = None
            if found.is_queued:
                cause = "queued"
            elif not found.is_calculated:
                cause = "stale"
            else:
                cause, message = old.cause_of(
                    slot.staff_id,
                    offer,
                    slot.location_id,
                    self._local(slot),
                    slot.end_time - slot.start_time,
                )
            opened, evidence = None, []
            if found.source:
                opened = f"Here it is working time: {found.open_from_to}."
                evidence = [{"table": found.source, "id": str(found.id)}]
            yield Difference(
                promise="legacy",
                kind="extra",
                staff_id=slot.staff_id,
                slot_id=slot.slot_id,
                start_time=slot.start_time,
                published={"offer": offer.name, "evidence": evidence},
                expected=None,
                reason=_reason(found, offer, WORDS[cause], message, [], opened, evidence),
                cause=cause,
            )

    def _is_compared(self, start: _OldStart) -> bool:
        assert self.report.from_date and self.report.to_date  # noqa: S101
        return self.report.from_date <= self._date(start) <= self.report.to_date

    def _local(self, start: _OldStart | _Slot) -> datetime:
        zone = self.zones.get(start.location_id) if start.location_id else None
        return start.start_time.astimezone(zone or self.tenant_zone)

    def _date(self, start: _OldStart) -> date:
        return self._local(start).date()


def _meet(place: UUID | None, others: Any) -> bool:
    """Whether a start at that place is among those at the others; no place is any place."""
    return bool(others) and (place is None or place in others or None in others)


def _reason(
    found: _Missing | _Extra,
    offer: Offer,
    lead: str,
    message: str | None,
    evidence: Sequence[Mapping[str, Any]],
    more: str | None,
    more_evidence: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Who, when and what; the cause; what decided, with its row; and what else there is."""
    says = [f"{found.person}, {found.local_time} ({found.zone}), {offer.name}: {lead}."]
    says += _with_row(message, evidence) + _with_row(more, more_evidence)
    return " ".join(says)


def _with_row(sentence: str | None, evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [f"({row['table']} {row['id']})" for row in evidence if "table" in row]
    return [sentence, *rows[:1]] if sentence else rows[:1]


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, EXPLAINED_AT_ONCE)):
        yield batch
