"""Earlier verifications, and causes of differences that somebody has looked at and accepts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from pgbooking.compare import only_tenant
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import execute, fetch, fetch_values
from pgbooking.tenants import chosen_tenants

# Whoever accepts what nobody can explain would not see the next one.
NEVER_ACCEPTED = {
    "unexplained": "Look at them in the old system: pgbooking verify --json lists all.",
    "stale": "pgbooking verify --repair publishes these calendars anew.",
}


@dataclass(frozen=True)
class Run:
    """A verification on record. `open` differences are neither accepted nor repaired."""

    id: UUID
    tenant: str
    started_at: datetime
    compared_with: str
    is_independent: bool
    calendars: int
    calendars_queued: int
    slots: int
    differences: int
    repaired: int
    open: int
    causes: dict[str, int]


@dataclass(frozen=True)
class Acceptance:
    """A cause that is accepted, and how many differences on record that settled."""

    cause: str
    differences: int


def history(
    connection: psycopg.Connection, tenant: str | None, since: datetime | None
) -> list[Run]:
    """The runs since then, newest first; `since` without an offset is UTC."""
    return fetch(
        connection,
        "verify_history",
        Run,
        tenant_ids=[each.id for each in chosen_tenants(connection, tenant)],
        since=since if since is None or since.tzinfo else since.replace(tzinfo=UTC),
    )


def print_history(runs: list[Run]) -> None:
    """A line for each run, and its causes."""
    for run in runs:
        with_what = {"legacy": "the old system"}.get(
            run.compared_with, "both calculators" if run.is_independent else "the SQL calculator"
        )
        print(
            f"{run.started_at:%Y-%m-%d %H:%M} UTC  {run.tenant}, with {with_what}: "
            f"{run.calendars:,} calendars, {run.slots:,} slots, {run.differences:,} differences, "
            f"{run.open:,} open, {run.repaired:,} rows repaired"
        )
        for cause, number in sorted(run.causes.items(), key=lambda each: -each[1]):
            print(f"    {cause} {number:,}")
    if not runs:
        print("There is no run on record.")


def accept(
    connection: psycopg.Connection, tenant: str | None, causes: list[str]
) -> list[Acceptance]:
    """Accept these causes, of what is on record and of what will be found.

    Raises Problem (exit code 2) where no difference has had such a cause, and of causes that say
    that something is not understood. Then nothing is accepted.
    """
    owner = only_tenant(connection, tenant)
    with connection.transaction():
        known = fetch_values(connection, "accept_known_causes", tenant_id=owner.id)
        for cause in causes:
            if cause not in known:
                raise Problem(
                    f"No difference of {owner.name} has had the cause {cause!r}.",
                    f"Causes so far: {', '.join(known) or 'none'}",
                    EXIT_USAGE,
                )
            if cause in NEVER_ACCEPTED:
                raise Problem(
                    f"{cause!r} is no reason: these differences want to be looked at.",
                    NEVER_ACCEPTED[cause],
                    EXIT_USAGE,
                )
        return [_accept(connection, owner.id, cause) for cause in causes]


def print_acceptances(acceptances: list[Acceptance]) -> None:
    """A line for each cause."""
    for each in acceptances:
        print(f"{each.cause} is accepted: {each.differences:,} differences on record.")


def _accept(connection: psycopg.Connection, tenant_id: UUID, cause: str) -> Acceptance:
    execute(connection, "accept_cause", tenant_id=tenant_id, cause=cause)
    return Acceptance(
        cause, execute(connection, "accept_differences", tenant_id=tenant_id, cause=cause)
    )
