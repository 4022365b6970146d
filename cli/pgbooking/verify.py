"""Verify a live database: is what is published what the calculators say, and do P1 to P5 hold?

Each calendar is compared in one REPEATABLE READ, read-only transaction, so that writers at work
cannot cause a false alarm; each other check is one statement and so one moment, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from pgbooking.backfill import Written, choose
from pgbooking.reference import PublishedSlot, load_calendar, published_slots, slots_beyond
from pgbooking.rows import copy_rows, execute, fetch, fetch_value
from pgbooking.tenants import StaffMember, Tenant

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWN_DIFFERENCES = 20
NOT_COMPARED = {"slot_id", "staff_id", "location_id", "shape_id", "start_time", "claim"}


@dataclass(frozen=True)
class Difference:
    """One finding; `reason` says it in words."""

    promise: str
    kind: str
    staff_id: UUID | None
    slot_id: UUID | None
    start_time: datetime | None
    published: Any
    expected: Any
    reason: str
    cause: str | None = None
    accepted_at: datetime | None = None


@dataclass
class TenantReport:
    """One tenant's verification; `repaired` counts the rows that --repair wrote afterwards."""

    tenant_id: UUID
    tenant: str
    is_independent: bool
    started_at: datetime
    run_id: UUID | None = None
    calendars: int = 0
    calendars_queued: int = 0
    slots: int = 0
    slots_beyond: int = 0
    seconds: float = 0.0
    repaired: int | None = None
    recorded_by: ClassVar = "verify_record_run"
    differences: list[Difference] = field(default_factory=list)


@dataclass
class Report:
    """All of it. `installation` holds what concerns no tenant more than another (P4, P5)."""

    tenants: list[TenantReport]
    installation: list[Difference]

    @property
    def differences(self) -> int:
        return len(self.installation) + sum(len(each.differences) for each in self.tenants)


@dataclass(frozen=True)
class Repaired:
    """What a verification found before it was repaired, and how many rows that wrote."""

    report: Report
    rows_written: int


@dataclass(frozen=True)
class Calendar:
    """Up to when a person's slots are published and can be booked at the latest, wherever that is,
    and whether they wait to be published anew."""

    staff_id: UUID
    display_name: str
    materialized_until: date
    bookable_until: date
    is_queued: bool


@dataclass(frozen=True)
class _Finding:
    kind: str
    staff_id: UUID | None
    slot_id: UUID | None
    start_time: datetime | None
    published: Any
    expected: Any
    reason: str


class _SlotName(NamedTuple):
    location_id: UUID
    shape_id: UUID
    start_time: datetime


@dataclass(frozen=True)
class _SlotDifference:
    calculator: str
    kind: str
    staff_id: UUID
    slot_id: UUID | None
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    published: Any
    expected: Any

    @property
    def name(self) -> _SlotName:
        return _SlotName(self.location_id, self.shape_id, self.start_time)


@dataclass(frozen=True)
class _PublishedRow:
    slot_id: UUID
    staff_id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime
    duration_minutes: int
    claim_start: datetime
    claim_end: datetime
    capacity: int
    seats_left: int
    is_available: bool
    bookable_from: datetime | None
    bookable_until: datetime
    reserved_until: datetime | None
    reserved_by_session: bytes | None
    appointment_id: UUID | None

    @property
    def name(self) -> _SlotName:
        return _SlotName(self.location_id, self.shape_id, self.start_time)


def verify(
    connection: psycopg.Connection,
    bar: Progress,
    tenant: str | None = None,
    staff: str | None = None,
    *,
    independent: bool = False,
) -> Report:
    """Run every check on the chosen tenants and record each run with its differences.

    `independent` compares with the second calculator too, which takes a second or so for each
    person. Raises Problem where there is no such tenant or person.
    """
    chosen = choose(connection, tenant, staff)
    calendars = {
        each.id: calendars_of(connection, each.id, chosen.staff) for each in chosen.tenants
    }
    task = bar.add_task("calendars", total=sum(len(each) for each in calendars.values()))
    installation = [
        *_check(connection, "P4", "verify_p4"),
        *_check(connection, "P5", "verify_p5_catalog"),
    ]
    tenants = []
    for each in chosen.tenants:
        began = time.perf_counter()
        report = _verify_tenant(connection, each, chosen.staff, independent)
        for calendar in calendars[each.id]:
            _verify_calendar(connection, each, calendar.staff_id, report)
            bar.advance(task)
        report.seconds = time.perf_counter() - began
        record(connection, report, installation)
        tenants.append(report)
    return Report(tenants, installation)


def repair(connection: psycopg.Connection, report: Report) -> int:
    """Refresh the calendars whose slots differ (P2, P3) and say how many rows that wrote.

    What the other promises miss is no matter of refreshing: it stays, for people to judge.
    """
    for tenant in report.tenants:
        staff_ids = {
            each.staff_id
            for each in tenant.differences
            if each.staff_id and each.promise in {"P2", "P3"}
        }
        if not staff_ids:
            continue
        tenant.repaired = 0
        for staff_id in sorted(staff_ids):
            (row,) = fetch(
                connection,
                "refresh_horizon",
                Written,
                tenant_id=tenant.tenant_id,
                staff_ids=[staff_id],
            )
            tenant.repaired += row.inserted + row.updated + row.deleted
        execute(
            connection,
            "verify_record_repair",
            tenant_id=tenant.tenant_id,
            run_id=tenant.run_id,
            repaired=tenant.repaired,
        )
    return sum(tenant.repaired or 0 for tenant in report.tenants)


def print_report(report: Report) -> None:
    """The report for people: a line for each tenant, and the first differences."""
    for tenant in report.tenants:
        ways = "both calculators" if tenant.is_independent else "the SQL calculator"
        print(
            f"{tenant.tenant}: {tenant.calendars:,} calendars with {tenant.slots:,} slots compared "
            f"with {ways} in {tenant.seconds:.1f} s: {len(tenant.differences) or 'no'} differences."
        )
        if tenant.slots_beyond:
            print(f"  {tenant.slots_beyond:,} more of days that are calculated when asked for.")
        if tenant.calendars_queued:
            print(f"  {tenant.calendars_queued:,} calendars wait in the queue and were left out.")
        _print_differences(tenant.differences)
    if report.installation:
        print(f"The installation: {len(report.installation):,} differences.")
        _print_differences(report.installation)
    if not report.tenants:
        print("There is no tenant yet, so nothing is published.")
    if not report.differences:
        print("P1 to P5 hold.")


def _print_differences(differences: list[Difference]) -> None:
    for each in differences[:SHOWN_DIFFERENCES]:
        print(f"  {each.promise} {each.kind}: {each.reason}")
    if len(differences) > SHOWN_DIFFERENCES:
        print(
            f"  … and {len(differences) - SHOWN_DIFFERENCES:,} more: --json, or table "
            "booking.verification_differences."
        )


def _verify_tenant(
    connection: psycopg.Connection, tenant: Tenant, staff: StaffMember | None, independent: bool
) -> TenantReport:
    """What is asked of all calendars at once: P1, P3 and P5."""
    report = TenantReport(
        tenant.id, tenant.name, independent, fetch_value(connection, "verify_now")
    )
    parameters = {"tenant_id": tenant.id, "staff_id": staff and staff.id}
    report.differences += _check(connection, "P1", "verify_p1", **parameters)
    report.differences += _check(connection, "P3", "verify_p3", **parameters)
    report.differences += _check(connection, "P5", "verify_p5", **parameters)
    return report


def _verify_calendar(
    connection: psycopg.Connection,
    tenant: Tenant,
    staff_id: UUID,
    report: TenantReport,
) -> None:
    """P2 of one calendar, as of one moment."""
    with one_moment(connection):
        # Read again: it may have been queued, or deleted, since the run began.
        for calendar in fetch(
            connection, "verify_calendars", Calendar, tenant_id=tenant.id, staff_id=staff_id
        ):
            if calendar.is_queued:
                report.calendars_queued += 1
                continue
            report.calendars += 1
            report.slots += fetch_value(
                connection, "verify_slots", tenant_id=tenant.id, staff_id=staff_id
            )
            found = fetch(
                connection, "verify_p2", _SlotDifference, tenant_id=tenant.id, staff_id=staff_id
            )
            if report.is_independent:
                found += _independent_differences(connection, tenant, calendar, report)
            found.sort(key=lambda each: (each.start_time, each.location_id, each.shape_id))
            report.differences += [
                _slot_difference(tenant, calendar, list(same_slot))
                for _, same_slot in groupby(found, key=lambda each: each.name)
            ]


def _independent_differences(
    connection: psycopg.Connection, tenant: Tenant, calendar: Calendar, report: TenantReport
) -> Iterator[_SlotDifference]:
    """Published rows, and what is calculated of the days after them, against the calculator in
    Python; past local dates are not compared."""
    now: datetime = fetch_value(connection, "verify_now")
    rules = load_calendar(
        connection,
        tenant.id,
        now.astimezone(UTC).date() - timedelta(days=2),
        max(calendar.materialized_until, calendar.bookable_until),
        [calendar.staff_id],
    )
    zones = {location.id: rules.zone(location) for location in rules.locations}
    expected = {
        _SlotName(slot.location_id, slot.shape_id, slot.start_time): _values(slot)
        for slots in (published_slots, slots_beyond)
        for slot in slots(rules, calendar.staff_id, now, calendar.materialized_until)
    }
    of_calendar = {"tenant_id": tenant.id, "staff_id": calendar.staff_id}
    published = {
        row.name: row
        for row in fetch(connection, "verify_published", _PublishedRow, now=now, **of_calendar)
        if not _is_past(row, zones.get(row.location_id), now)
    }
    beyond = fetch(connection, "verify_beyond", _PublishedRow, **of_calendar)
    report.slots_beyond += len(beyond)
    published |= {row.name: row for row in beyond}
    for name in published.keys() | expected.keys():
        row = published.get(name)
        found = _values(row) if row else None
        wanted = expected.get(name)
        if found != wanted:
            yield _SlotDifference(
                calculator="independent",
                kind="missing" if found is None else "extra" if wanted is None else "wrong",
                staff_id=calendar.staff_id,
                slot_id=row.slot_id if row else None,
                location_id=name.location_id,
                shape_id=name.shape_id,
                start_time=name.start_time,
                published=found and _as_json(found),
                expected=wanted and _as_json(wanted),
            )


def _is_past(row: _PublishedRow, zone: ZoneInfo | None, now: datetime) -> bool:
    if zone is None:
        return False
    return row.start_time.astimezone(zone).date() < now.astimezone(zone).date()


def _values(slot: _PublishedRow | PublishedSlot) -> dict[str, Any]:
    """What is compared: everything but the name and when it was calculated."""
    values = {
        each.name: getattr(slot, each.name)
        for each in fields(slot)
        if each.name not in NOT_COMPARED
    }
    if isinstance(slot, PublishedSlot):
        values |= {"claim_start": slot.claim.start, "claim_end": slot.claim.end}
    return values


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a jsonb column holds them: times as ISO 8601, bytes as hexadecimal digits."""

    def plain(value: Any) -> Any:
        match value:
            case datetime():
                return value.isoformat()
            case UUID():
                return str(value)
            case bytes():
                return value.hex()
        return value

    return {column: plain(value) for column, value in values.items()}


def _slot_difference(
    tenant: Tenant,
    calendar: Calendar,
    found: list[_SlotDifference],
) -> Difference:
    """One slot's difference in words, as one or both calculators found it."""
    difference = found[0]
    says = " and ".join(f"the {each.calculator} calculator" for each in found)
    says += " says" if len(found) == 1 else " say"
    local = difference.start_time.astimezone(ZoneInfo(tenant.timezone))
    slot = f"{calendar.display_name}, {local:%Y-%m-%d %H:%M} ({tenant.timezone})"
    shown = "published" if local.date() <= calendar.materialized_until else "calculated on request"
    match difference.kind:
        case "missing":
            reason = f"{slot}: not {shown}, though {says} it should be."
        case "extra":
            reason = f"{slot}: {shown}, though {says} there is no such slot."
        case _:
            columns = _different_columns(difference.published, difference.expected)
            reason = f"{slot}: {says} otherwise: {columns}."
    return Difference(
        promise="P2",
        kind=difference.kind,
        staff_id=difference.staff_id,
        slot_id=difference.slot_id,
        start_time=difference.start_time,
        published=difference.published,
        expected=difference.expected,
        reason=reason,
    )


def _different_columns(published: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{column} is {published.get(column)} and should be {expected.get(column)}"
        for column in published
        if published.get(column) != expected.get(column)
    )


def _check(
    connection: psycopg.Connection, promise: str, name: str, **parameters: object
) -> list[Difference]:
    """The findings of a promise's query."""
    return [
        Difference(promise=promise, **vars(finding))
        for finding in fetch(connection, name, _Finding, **parameters)
    ]


def calendars_of(
    connection: psycopg.Connection, tenant_id: UUID, staff: StaffMember | None
) -> list[Calendar]:
    return fetch(
        connection,
        "verify_calendars",
        Calendar,
        tenant_id=tenant_id,
        staff_id=staff and staff.id,
    )


def record(
    connection: psycopg.Connection, report: TenantReport, installation: list[Difference]
) -> None:
    """One run for each tenant; what concerns the installation is on record with each."""
    differences = [*report.differences, *installation]
    with connection.transaction():
        report.run_id = fetch_value(
            connection,
            report.recorded_by,
            tenant_id=report.tenant_id,
            started_at=report.started_at,
            is_independent=report.is_independent,
            calendars=report.calendars,
            calendars_queued=report.calendars_queued,
            slots=report.slots,
            differences=len(differences),
        )
        copy_rows(
            connection,
            "verify_record_differences",
            (
                (
                    report.tenant_id,
                    report.run_id,
                    each.promise,
                    each.kind,
                    each.staff_id,
                    each.slot_id,
                    each.start_time,
                    None if each.published is None else Jsonb(each.published),
                    None if each.expected is None else Jsonb(each.expected),
                    each.reason,
                    each.cause,
                    each.accepted_at,
                )
                for each in differences
            ),
        )


@contextmanager
def one_moment(connection: psycopg.Connection) -> Iterator[None]:
    """One snapshot for every statement inside."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction():
            yield
    finally:
        connection.isolation_level = None
        connection.read_only = None
