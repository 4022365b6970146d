"""Backfill: publish slots anew, one calendar a transaction, so that stopping loses nothing.

Every chosen calendar is put into `booking.refresh_queue` first. What a stopped run leaves there is
done by the next one, or by the job that drains the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from pgbooking.errors import EXIT_USAGE, Problem, explain
from pgbooking.rows import execute, fetch, fetch_one, fetch_value
from pgbooking.tenants import StaffMember, Tenant, chosen_staff, chosen_tenants

if TYPE_CHECKING:
    from rich.progress import Progress

NOBODY = UUID(int=0)


@dataclass(frozen=True)
class FailedCalendar:
    """A calendar that stays in the queue, with the error that is kept there, too."""

    tenant_id: UUID
    staff_id: UUID
    error: str


@dataclass
class BackfillReport:
    """What a run did; `waiting` counts chosen calendars that are in the queue after it."""

    calendars: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    waiting: int = 0
    interrupted: bool = False
    failed: list[FailedCalendar] = field(default_factory=list)


@dataclass(frozen=True)
class Chosen:
    """The calendars and the local dates (None: all that are published) of a run."""

    tenants: list[Tenant]
    staff: StaffMember | None
    from_date: date | None
    to_date: date | None

    @property
    def reason(self) -> str:
        """What stands in the queue. Other reasons mean that the whole calendar may be stale."""
        if self.from_date is None and self.to_date is None:
            return "backfill"
        return f"backfill {self.from_date or ''}..{self.to_date or ''}"

    @property
    def parameters(self) -> dict[str, object]:
        """For the queries that work on the chosen calendars."""
        return {
            "tenant_ids": [tenant.id for tenant in self.tenants],
            "staff_id": self.staff and self.staff.id,
        }


@dataclass(frozen=True)
class _Entry:
    tenant_id: UUID
    staff_id: UUID
    reason: str


@dataclass(frozen=True)
class Written:
    """Rows of `availability_slots` that a refresh wrote."""

    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class _PublishedDates:
    first_date: date | None
    last_date: date | None


def choose(
    connection: psycopg.Connection,
    tenant: str | None = None,
    staff: str | None = None,
    from_date: date | None = None,
    to_date: date | None = None,
) -> Chosen:
    """Check what the user named. Dates are inclusive local dates of each location.

    Raises Problem where there is no such tenant or person, and where nothing is published on any of
    the dates.
    """
    tenants = chosen_tenants(connection, tenant)
    chosen = Chosen(tenants, chosen_staff(connection, tenants, staff), from_date, to_date)
    if from_date and to_date and to_date < from_date:
        raise Problem(f"--to {to_date} is before --from {from_date}.", None, EXIT_USAGE)
    published = fetch_one(connection, "backfill_dates", _PublishedDates, **chosen.parameters)
    if published and published.first_date and published.last_date:
        outside = (to_date and to_date < published.first_date and f"--to {to_date}") or (
            from_date and from_date > published.last_date and f"--from {from_date}"
        )
        if outside:
            raise Problem(
                f"{outside} lies outside the dates that are published: "
                f"{published.first_date} to {published.last_date}.",
                "Later dates become published as days pass (tenants.precompute_days).",
                EXIT_USAGE,
            )
    return chosen


def backfill(connection: psycopg.Connection, chosen: Chosen, bar: Progress) -> BackfillReport:
    """Queue the chosen calendars, then refresh them in order, one transaction each.

    Calendars that another session is working on are left to it. Ctrl-C ends the run after rolling
    back the calendar at hand, which stays in the queue.
    """
    report = BackfillReport()
    try:
        execute(connection, "backfill_queue", reason=chosen.reason, **chosen.parameters)
        waiting = fetch_value(connection, "backfill_waiting", **chosen.parameters)
        task = bar.add_task("calendars", total=waiting)
        done = _Entry(NOBODY, NOBODY, "")
        while entry := _refresh_next(connection, chosen, done, report):
            done = entry
            bar.advance(task)
    except KeyboardInterrupt:
        report.interrupted = True
    report.waiting = fetch_value(connection, "backfill_waiting", **chosen.parameters)
    return report


def print_report(report: BackfillReport) -> None:
    """The report for people."""
    print(
        f"{report.calendars:,} calendars refreshed: {report.inserted:,} slots inserted, "
        f"{report.updated:,} updated, {report.deleted:,} deleted."
    )
    for failure in report.failed:
        print(f"! staff {failure.staff_id} of tenant {failure.tenant_id}: {failure.error}")
    if report.waiting:
        print(
            f"{'Stopped. ' if report.interrupted else ''}{report.waiting:,} calendars wait in the "
            "queue. Run pgbooking backfill again to go on, or leave them to the queue's job."
        )


def _refresh_next(
    connection: psycopg.Connection, chosen: Chosen, after: _Entry, report: BackfillReport
) -> _Entry | None:
    """Refresh the first queued calendar after `after`, or record why it fails."""
    with connection.transaction():
        entry = fetch_one(
            connection,
            "backfill_next",
            _Entry,
            after_tenant_id=after.tenant_id,
            after_staff_id=after.staff_id,
            **chosen.parameters,
        )
        if entry is None:
            return None
        try:
            with connection.transaction():
                written = _refresh(connection, entry, chosen)
                execute(connection, "backfill_done", **vars(entry))
        except psycopg.Error as error:
            if connection.broken:
                raise
            reason = explain(error).message
            execute(connection, "backfill_failed", error=reason, **vars(entry))
            report.failed.append(FailedCalendar(entry.tenant_id, entry.staff_id, reason))
            return entry
    report.calendars += 1
    report.inserted += written.inserted
    report.updated += written.updated
    report.deleted += written.deleted
    return entry


def _refresh(connection: psycopg.Connection, entry: _Entry, chosen: Chosen) -> Written:
    parameters: dict[str, object] = {"tenant_id": entry.tenant_id, "staff_ids": [entry.staff_id]}
    # Somebody else's reason may concern any date, so the dates of this run are not enough.
    if entry.reason == chosen.reason and chosen.reason != "backfill":
        parameters |= {"from_date": chosen.from_date, "to_date": chosen.to_date}
        rows = fetch(connection, "refresh_slots", Written, **parameters)
    else:
        rows = fetch(connection, "refresh_horizon", Written, **parameters)
    return rows[0]
