"""The demonstration: from nothing to slots that are held, booked, moved and cancelled, timed."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from rich.console import Console
from rich.table import Table

from pgbooking import backfill, migrate, seed, verify
from pgbooking.connection import connected
from pgbooking.errors import Problem
from pgbooking.output import progress_bar
from pgbooking.rows import execute, fetch, fetch_one, fetch_value, fetch_values
from pgbooking.server import embedded_server, stop_command
from pgbooking.tenants import Tenant, chosen_tenants

SLUG = "demo"
RANDOM_SEED = 1
SIZES = seed.Sizes(tenants=1, staff=5, locations=1, appointments_per_staff=40)
VISITOR = "anon"
WEBSITE = "service_role"
"""Who calls: visitors, and the website's own server, which books for guests."""


@dataclass(frozen=True)
class _Day:
    """One person's local day [first_start, end_of_starts), and a service that they offer."""

    staff_id: UUID
    display_name: str
    shape_id: UUID
    appointment_type: str
    duration_minutes: int
    first_start: datetime
    end_of_starts: datetime


@dataclass(frozen=True)
class _Slot:
    id: UUID
    start_time: datetime


class Demo:
    """Says what it does, and keeps what each step took."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.steps: list[tuple[str, float]] = []

    def run(self, database_url: str | None, *, keep: bool = False) -> int:
        """The whole demonstration; the number of differences that verifying found.

        Without an address it starts the embedded server, which goes on running only with `keep`.
        """
        if database_url:
            return self._on(database_url)
        began = time.perf_counter()
        with embedded_server(keep=keep) as url:
            self.steps.append(("start PostgreSQL", time.perf_counter() - began))
            found = self._on(url)
            if keep:
                self._say(
                    f"\nThe server goes on running. Look around:\n  psql '{url}'\n"
                    f"Stop it:\n  {stop_command(url)}"
                )
        return found

    def _on(self, url: str) -> int:
        with self._step("migrate"):
            migrations = list(migrate.apply(url))
        with connected(url) as connection, progress_bar() as bar:
            version = connection.info.server_version // 10000
            self._say(f"PostgreSQL {version}, {len(migrations)} migrations applied.")
            self._check_role(connection)
            with self._step("seed and publish"):
                tenant = self._tenant(connection)
            with self._step("publish again"):
                again = backfill.backfill(
                    connection, backfill.choose(connection, str(tenant.id)), bar
                )
            written = again.inserted + again.updated + again.deleted
            self._say(f"Publishing all of it again: {written:,} rows written.\n")
            self._book(connection, tenant)
            with self._step("verify with both calculators"):
                report = verify.verify(connection, bar, str(tenant.id), independent=True)
        verify.print_report(report)
        self._print_steps()
        return report.differences

    def _check_role(self, connection: psycopg.Connection) -> None:
        """Before anything is made: may this session call as its callers do?"""
        for role in (VISITOR, WEBSITE):
            try:
                with connection.transaction():
                    execute(connection, "demo_call_as", role=role)
            except psycopg.errors.InsufficientPrivilege:
                user = connection.info.user
                raise Problem(
                    f'The demonstration calls as the role {role}, and "{user}" may not become it.',
                    f'grant {VISITOR}, {WEBSITE} to "{user}"; '
                    "as a superuser, or as the role that made them.",
                ) from None

    def _tenant(self, connection: psycopg.Connection) -> Tenant:
        slug = f"{SLUG}-{RANDOM_SEED}-1"
        try:
            (tenant,) = chosen_tenants(connection, slug)
        except Problem:
            with progress_bar() as bar:
                seed.print_report(seed.seed(connection, SIZES, RANDOM_SEED, bar, SLUG))
            (tenant,) = chosen_tenants(connection, slug)
        else:
            self._say(f"{tenant.name} ({slug}) is there from an earlier demonstration.")
        return tenant

    def _book(self, connection: psycopg.Connection, tenant: Tenant) -> None:
        """What clients do, by the functions of schema api; slots read as the role anon."""
        day = fetch_one(connection, "demo_day", _Day, tenant_id=tenant.id, timezone=tenant.timezone)
        if day is None:
            raise Problem(f"{tenant.name} has no day with free slots.")
        zone = ZoneInfo(tenant.timezone)
        with self._step("read a day as anon"):
            before = self._public_starts(connection, tenant, day)
        wanted, other = before[len(before) // 2], before[len(before) // 4]
        self._say(
            f"{day.display_name}, {day.first_start.astimezone(zone):%A %d %B %Y}, as anon sees it "
            f"in api.availability_slots:\na quarter-hour each, [green]●[/] where an appointment of "
            f"{day.duration_minutes} minutes can begin ({tenant.timezone})\n"
        )
        self._strip("at first", before, zone)

        def call(caller: str, function: str, **arguments: object) -> dict[str, Any]:
            with self._step(f"{function}, as {caller}"):
                answer = self._call(connection, caller, function, tenant, **arguments)
            if not answer["success"]:
                raise Problem(f"{function} was refused: {answer['message']}", answer["hint"])
            return answer

        def show(label: str) -> list[_Slot]:
            slots = self._public_starts(connection, tenant, day)
            self._strip(label, slots, zone)
            return slots

        time_wanted = {"slot_id": wanted.id, "appointment_type": day.appointment_type}
        session, another = secrets.token_urlsafe(), secrets.token_urlsafe()
        call(VISITOR, "reserve_slot", session_id=session, **time_wanted)
        show("reserved")
        with self._step("reserve_slot, refused"):
            refusal = self._call(
                connection, VISITOR, "reserve_slot", tenant, session_id=another, **time_wanted
            )
        booking = call(WEBSITE, "create_appointment", session_id=session, **time_wanted)
        show("booked")
        guest = {key: booking[key] for key in ("appointment_id", "manage_token")}
        call(VISITOR, "reschedule_appointment", slot_id=other.id, **guest)
        show("moved")
        call(VISITOR, "cancel_appointment", **guest)
        after = show("cancelled")

        self._say(
            f"\nA visitor held {wanted.start_time.astimezone(zone):%H:%M}. A second one who asked "
            f"for it was refused:\n{refusal['code']}: {refusal['message']} {refusal['hint']}\n"
            "The website booked it for the first, whose manage_token moved it to "
            f"{other.start_time.astimezone(zone):%H:%M} and cancelled it.\nThe slots followed "
            "within each call's own transaction. At the end they are "
            f"{'as at first' if after == before else 'not as at first'}.\n"
            f"Events for a mailer: {self._events(connection, tenant, booking)}.\n"
        )

    def _call(
        self,
        connection: psycopg.Connection,
        caller: str,
        function: str,
        tenant: Tenant,
        **arguments: object,
    ) -> dict[str, Any]:
        """One request, as PostgREST makes it: a transaction, who calls, and the call."""
        with connection.transaction():
            execute(connection, "demo_call_as", role=caller)
            answer: dict[str, Any] = fetch_value(
                connection, f"demo_{function}", tenant_id=tenant.id, **arguments
            )
        return answer

    def _public_starts(
        self, connection: psycopg.Connection, tenant: Tenant, day: _Day
    ) -> list[_Slot]:
        with connection.transaction():
            execute(connection, "demo_call_as", role=VISITOR)
            return fetch(
                connection,
                "demo_public_starts",
                _Slot,
                tenant_id=tenant.id,
                staff_id=day.staff_id,
                shape_id=day.shape_id,
                first_start=day.first_start,
                end_of_starts=day.end_of_starts,
            )

    def _events(
        self, connection: psycopg.Connection, tenant: Tenant, booking: dict[str, Any]
    ) -> str:
        return ", ".join(
            fetch_values(
                connection,
                "demo_events",
                tenant_id=tenant.id,
                appointment_id=booking["appointment_id"],
            )
        )

    def _strip(self, label: str, slots: list[_Slot], zone: ZoneInfo) -> None:
        """One line: the hours from 8 to 20, a mark for each quarter."""
        local = {slot.start_time.astimezone(zone).strftime("%H:%M") for slot in slots}
        hours = (
            f"[dim]{hour:02}[/]"
            + "".join(
                "[green]●[/]" if f"{hour:02}:{minute:02}" in local else "[dim]·[/]"
                for minute in (0, 15, 30, 45)
            )
            for hour in range(8, 20)
        )
        self._say(f"  {label:<10} {' '.join(hours)}")

    def _print_steps(self) -> None:
        table = Table("step", box=None, padding=(0, 2, 0, 0))
        table.add_column("time", justify="right")
        for name, seconds in self.steps:
            table.add_row(
                name, f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:,.0f} ms"
            )
        self.console.print()
        self.console.print(table)

    def _say(self, text: str) -> None:
        self.console.print(text)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.steps.append((name, time.perf_counter() - began))
