"""The demonstration: from nothing to published slots that follow every change, timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from rich.console import Console
from rich.table import Table

from pgbooking import backfill, migrate, seed, verify
from pgbooking.connection import connected
from pgbooking.errors import Problem
from pgbooking.output import progress_bar
from pgbooking.rows import execute, fetch_one, fetch_value, fetch_values
from pgbooking.server import embedded_server, stop_command
from pgbooking.tenants import Tenant, chosen_tenants

SLUG = "demo"
RANDOM_SEED = 1
SIZES = seed.Sizes(tenants=1, staff=5, locations=1, appointments_per_staff=40)
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True)
class _Day:
    """One person's local day [first_start, end_of_starts), and a service that they offer."""

    staff_id: UUID
    display_name: str
    location_id: UUID
    appointment_type_id: UUID
    duration_minutes: int
    first_start: datetime
    end_of_starts: datetime


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
            self._book_and_cancel(connection, tenant)
            with self._step("verify with both calculators"):
                report = verify.verify(connection, bar, str(tenant.id), independent=True)
        verify.print_report(report)
        self._print_steps()
        return report.differences

    def _check_role(self, connection: psycopg.Connection) -> None:
        """Before anything is made: may this session look through anonymous eyes?"""
        try:
            with connection.transaction():
                execute(connection, "demo_as_anon")
        except psycopg.errors.InsufficientPrivilege:
            user = connection.info.user
            raise Problem(
                f'The demonstration reads slots as the role anon, and "{user}" may not become it.',
                f'grant anon to "{user}"; as a superuser, or as the role that made anon.',
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

    def _book_and_cancel(self, connection: psycopg.Connection, tenant: Tenant) -> None:
        """Plain INSERT and UPDATE as the owner of the tables; slots read as the role anon."""
        day = fetch_one(connection, "demo_day", _Day, tenant_id=tenant.id, timezone=tenant.timezone)
        if day is None:
            raise Problem(f"{tenant.name} has no day with free slots.")
        zone = ZoneInfo(tenant.timezone)
        with self._step("read a day as anon"):
            before = self._public_starts(connection, tenant, day)
        start = before[len(before) // 2]
        times = f"{start.astimezone(zone):%H:%M} for {day.duration_minutes} minutes"
        self._say(
            f"{day.display_name}, {day.first_start.astimezone(zone):%A %d %B %Y}, as anon sees it "
            f"in api.availability_slots:\na quarter-hour each, [green]●[/] where an appointment of "
            f"{day.duration_minutes} minutes can begin ({tenant.timezone})\n"
        )
        self._strip("at first", before, zone)
        with self._step("book: insert one appointment"):
            appointment_id = fetch_value(
                connection,
                "demo_book",
                tenant_id=tenant.id,
                start_time=start,
                end_time=start + timedelta(minutes=day.duration_minutes),
                staff_id=day.staff_id,
                location_id=day.location_id,
                appointment_type_id=day.appointment_type_id,
            )
        self._strip("booked", self._public_starts(connection, tenant, day), zone)
        with self._step("cancel: update it"):
            execute(connection, "demo_cancel", tenant_id=tenant.id, appointment_id=appointment_id)
        after = self._public_starts(connection, tenant, day)
        self._strip("cancelled", after, zone)
        self._say(
            f"\nOne INSERT into booking.appointments ({times}), one UPDATE of its status:\n"
            "the slots followed within each statement's own transaction. At the end they are "
            f"{'as at first' if after == before else 'not as at first'}.\n"
        )

    def _public_starts(
        self, connection: psycopg.Connection, tenant: Tenant, day: _Day
    ) -> list[datetime]:
        with connection.transaction():
            execute(connection, "demo_as_anon")
            return [
                start.astimezone(UTC)
                for start in fetch_values(
                    connection,
                    "demo_public_starts",
                    tenant_id=tenant.id,
                    staff_id=day.staff_id,
                    duration_minutes=day.duration_minutes,
                    first_start=day.first_start,
                    end_of_starts=day.end_of_starts,
                )
            ]

    def _strip(self, label: str, starts: list[datetime], zone: ZoneInfo) -> None:
        """One line: the hours from 8 to 20, a mark for each quarter."""
        local = {start.astimezone(zone).strftime("%H:%M") for start in starts}
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
