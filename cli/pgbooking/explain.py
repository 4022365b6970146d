"""Explain why a person can or cannot be booked at a time, in words and as a picture of the day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, Literal
from uuid import UUID

import psycopg
from rich.console import Console
from rich.text import Text

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import fetch, fetch_value
from pgbooking.tenants import chosen_staff, chosen_tenants

SHOWN_ROWS = 5
REFUSED = "PB001"

MARKS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("-", "dim")}
CELLS = {"free": ("█", "green"), "taken": ("▒", "yellow"), "off": ("·", "dim")}


@dataclass(frozen=True)
class Rule:
    """One rule's verdict (None: not asked), its sentence, and the rows that decided."""

    rule: str
    passed: bool | None
    message: str
    evidence: list[dict[str, Any]]


@dataclass(frozen=True)
class Candidate:
    """A place and a kind of slot; `local_time` is the place's, without an offset."""

    location_id: UUID
    location_name: str
    timezone: str
    local_time: str
    appointment_types: list[str]
    slot_id: UUID
    is_available: bool
    rules: list[Rule]


@dataclass(frozen=True)
class Report:
    """What booking.explain_availability answers."""

    tenant_id: UUID
    staff_id: UUID
    staff_name: str
    at: str
    is_queued: bool
    message: str | None
    candidates: list[Candidate]

    @property
    def is_available(self) -> bool:
        return any(each.is_available for each in self.candidates)


@dataclass(frozen=True)
class HalfHour:
    """A cell of a day's picture; `local_time` is when it begins."""

    local_time: time
    state: Literal["free", "taken", "off"]
    is_asked: bool


def explain(
    connection: psycopg.Connection,
    tenant: str,
    staff: str,
    at: datetime,
    appointment_type: str | None = None,
) -> Report:
    """Every rule for each place and kind of slot; `at` without an offset is UTC.

    Raises Problem where there is no such tenant, person or appointment type.
    """
    (chosen,) = chosen_tenants(connection, tenant)
    person = chosen_staff(connection, [chosen], staff)
    try:
        answer = fetch_value(
            connection,
            "explain_availability",
            tenant_id=chosen.id,
            staff_id=person and person.id,
            at=at if at.tzinfo else at.replace(tzinfo=UTC),
            appointment_type=appointment_type,
        )
    except psycopg.Error as error:
        if error.sqlstate != REFUSED:
            raise
        raise Problem(
            error.diag.message_primary or str(error), error.diag.message_hint or None, EXIT_USAGE
        ) from None
    candidates = [
        Candidate(**(each | {"rules": [Rule(**rule) for rule in each["rules"]]}))
        for each in answer.pop("candidates")
    ]
    return Report(tenant_id=chosen.id, candidates=candidates, **answer)


def day(connection: psycopg.Connection, report: Report, candidate: Candidate) -> list[HalfHour]:
    """The local day of a candidate."""
    return fetch(
        connection,
        "explain_day",
        HalfHour,
        tenant_id=report.tenant_id,
        staff_id=report.staff_id,
        location_id=candidate.location_id,
        appointment_type=candidate.appointment_types[0],
        at=report.at,
    )


def print_report(connection: psycopg.Connection, report: Report) -> None:
    """The report for people: each candidate with its rules in order and its day."""
    console = Console(highlight=False, soft_wrap=True)
    for candidate in report.candidates:
        _print_candidate(console, report, candidate)
        _print_day(console, day(connection, report, candidate))
        console.print()
    if report.message:
        console.print(Text(report.message))
    if report.is_queued:
        console.print("The calendar waits to be published anew: what clients see is older.")


def _print_candidate(console: Console, report: Report, candidate: Candidate) -> None:
    local = datetime.fromisoformat(candidate.local_time)
    when = f"{local:%a} {local.day} {local:%b %Y, %H:%M}"
    console.print(
        Text.assemble(
            (f"{report.staff_name}, {candidate.location_name}, {when}", "bold"),
            f" ({candidate.timezone}), {', '.join(candidate.appointment_types)}: ",
            ("can be booked", "bold green")
            if candidate.is_available
            else ("cannot be booked", "bold red"),
        )
    )
    for rule in candidate.rules:
        name = rule.rule.replace("_", " ")
        console.print(Text.assemble("  ", MARKS[rule.passed], f" {name:12}  {rule.message}"))
        rows = [f"{row['table']} {row['id']}" for row in rule.evidence if "table" in row]
        if len(rows) > SHOWN_ROWS:
            rows[SHOWN_ROWS:] = [f"… and {len(rows) - SHOWN_ROWS:,} more: --json"]
        for row in rows:
            console.print(Text(f"{'':18}{row}", "dim"))


def _print_day(console: Console, cells: list[HalfHour]) -> None:
    hours = [" "] * (len(cells) + 1)
    for number, cell in enumerate(cells):
        if cell.local_time.hour % 3 == 0 and cell.local_time.minute == 0:
            hours[number : number + 2] = f"{cell.local_time.hour:02}"
    asked = "".join("▲" if cell.is_asked else " " for cell in cells)
    console.print(Text(f"  {''.join(hours).rstrip()}", "dim"))
    console.print(Text.assemble("  ", *(CELLS[cell.state] for cell in cells)))
    console.print(Text(f"  {asked.rstrip()}"))
    console.print(Text("  █ can be booked  ▒ cannot  · no working time", "dim"))
