"""The salon: from nothing to slots that are held, booked, moved and cancelled."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from pgbooking import backfill, seed
from pgbooking.demo import VISITOR, WEBSITE, Demo
from pgbooking.errors import Problem
from pgbooking.output import progress_bar
from pgbooking.rows import execute, fetch, fetch_one, fetch_values
from pgbooking.tenants import Tenant, chosen_tenants

if TYPE_CHECKING:
    from rich.progress import Progress

SLUG = "demo"
RANDOM_SEED = 1
SIZES = seed.Sizes(tenants=1, staff=5, locations=1, appointments_per_staff=40)


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


class SalonDemo(Demo):
    """A made-up salon of five people, and one visitor who holds, books, moves and cancels."""

    def tell(self, connection: psycopg.Connection, bar: Progress) -> int:
        with self._step("seed and publish"):
            tenant = self._tenant(connection)
        with self._step("publish again"):
            again = backfill.backfill(connection, backfill.choose(connection, str(tenant.id)), bar)
        written = again.inserted + again.updated + again.deleted
        self._say(f"Publishing all of it again: {written:,} rows written.\n")
        self._book(connection, tenant)
        return self._verify(connection, bar, tenant)

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
        self._strip("at first", [each.start_time for each in before], zone)

        def call(caller: str, function: str, **arguments: object) -> dict[str, Any]:
            with self._step(f"{function}, as {caller}"):
                answer = self._call(connection, caller, function, tenant.id, **arguments)
            if not answer["success"]:
                raise Problem(f"{function} was refused: {answer['message']}", answer["hint"])
            return answer

        def show(label: str) -> list[_Slot]:
            slots = self._public_starts(connection, tenant, day)
            self._strip(label, [each.start_time for each in slots], zone)
            return slots

        time_wanted = {"slot_id": wanted.id, "appointment_type": day.appointment_type}
        session, another = secrets.token_urlsafe(), secrets.token_urlsafe()
        call(VISITOR, "reserve_slot", session_id=session, **time_wanted)
        show("reserved")
        with self._step("reserve_slot, refused"):
            refusal = self._call(
                connection, VISITOR, "reserve_slot", tenant.id, session_id=another, **time_wanted
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

    def _public_starts(
        self, connection: psycopg.Connection, tenant: Tenant, day: _Day
    ) -> list[_Slot]:
        with connection.transaction():
            execute(connection, "demo_call_as", role=VISITOR, address=self.address)
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
