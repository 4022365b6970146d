"""What the demonstrations share: a server, migrations, calls as clients make them, and the clock.

Each scenario tells its story (demo_salon, demo_instructor); verifying and how long it took come
last.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from rich.console import Console
from rich.table import Table

from pgbooking import migrate, verify
from pgbooking.connection import connected
from pgbooking.errors import Problem
from pgbooking.output import progress_bar
from pgbooking.rows import execute, fetch_value
from pgbooking.server import embedded_server, stop_command
from pgbooking.tenants import Tenant

if TYPE_CHECKING:
    from rich.progress import Progress

VISITOR = "anon"
WEBSITE = "service_role"
"""Who calls: visitors, and the website's own server, which books for guests."""


class Demo(ABC):
    """Says what it does, and keeps what each step took."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.steps: list[tuple[str, float]] = []
        # Of those reserved for examples: each demonstration is another client to the rate limits.
        self.address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"

    @abstractmethod
    def tell(self, connection: psycopg.Connection, bar: Progress) -> int:
        """The story, in a migrated database; the number of differences that verifying found."""

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
            found = self.tell(connection, bar)
        self._print_steps()
        return found

    def _verify(self, connection: psycopg.Connection, bar: Progress, tenant: Tenant) -> int:
        with self._step("verify with both calculators"):
            report = verify.verify(connection, bar, str(tenant.id), independent=True)
        verify.print_report(report)
        return report.differences

    def _check_role(self, connection: psycopg.Connection) -> None:
        """Before anything is made: may this session call as its callers do?"""
        for role in (VISITOR, WEBSITE):
            try:
                with connection.transaction():
                    execute(connection, "demo_call_as", role=role, address=self.address)
            except psycopg.errors.InsufficientPrivilege:
                user = connection.info.user
                raise Problem(
                    f'The demonstration calls as the role {role}, and "{user}" may not become it.',
                    f'grant {VISITOR}, {WEBSITE} to "{user}"; '
                    "as a superuser, or as the role that made them.",
                ) from None

    def _call(
        self,
        connection: psycopg.Connection,
        caller: str,
        function: str,
        tenant_id: UUID,
        **arguments: object,
    ) -> dict[str, Any]:
        """One request, as PostgREST makes it: a transaction, who calls, and the call."""
        with connection.transaction():
            execute(connection, "demo_call_as", role=caller, address=self.address)
            answer: dict[str, Any] = fetch_value(
                connection, f"demo_{function}", tenant_id=tenant_id, **arguments
            )
        return answer

    def _strip(self, label: str, starts: Iterable[datetime], zone: ZoneInfo) -> None:
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
