"""Seed: tenants that look like real ones, the same for the same random seed and day.

A tenant is made in one transaction, so that an interrupted run leaves whole tenants only. It is
inactive until its schedules are there, because an inactive tenant has no slots to recalculate.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb

from pgbooking.backfill import Written
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import copy_rows, execute, fetch, fetch_value

if TYPE_CHECKING:
    from faker import Faker
    from rich.progress import Progress

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
PUBLISHED_AT_ONCE = 20

ZONES = [
    "Europe/Berlin",
    "America/Winnipeg",
    "Australia/Sydney",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Europe/London",
]
ALIGNMENTS = ["window", "clock", "gapless"]
SHIFTS = [("09:00", "17:00"), ("08:00", "16:00"), ("10:00", "18:30"), ("12:00", "20:00")]
LUNCHES = [("12:00", "12:30"), ("12:30", "13:15"), ("13:00", "14:00")]


@dataclass(frozen=True)
class Service:
    """An appointment type: minutes, buffers before and after in minutes, cents, seats."""

    code: str
    name: str
    duration_minutes: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    price_cents: int
    capacity: int = 1


SERVICES = [
    Service("STANDARD", "Standard appointment", 30, 0, 0, 4500),
    Service("LONG", "Long appointment", 60, 0, 0, 8000),
    Service("CONSULTATION", "First consultation", 45, 5, 10, 0),
    Service("CHECK", "Short check", 15, 0, 0, 2000),
    Service("EXPRESS", "Express appointment", 30, 0, 0, 3000),
    Service("TREATMENT", "Treatment", 90, 0, 15, 12000),
    Service("CLASS", "Class", 60, 0, 0, 1800, capacity=8),
]


@dataclass(frozen=True)
class Sizes:
    """How much to make: tenants, and the rest for each of them."""

    tenants: int = 1
    staff: int = 5
    locations: int = 1
    services: int = 5
    appointments_per_staff: int = 40
    busy_times_per_staff: int = 10


@dataclass
class SeededTenant:
    """What was made of one tenant; `slots` are published, `offered` of them can be booked."""

    tenant_id: UUID
    name: str
    slug: str
    timezone: str
    slot_alignment: str
    staff: int
    locations: int
    services: int
    appointments: int
    busy_times: int
    slots: int
    offered: int


@dataclass(frozen=True)
class _FreeSlot:
    staff_id: UUID
    id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime
    claim_start: datetime
    claim_end: datetime
    appointment_type_id: UUID
    buffer_before_minutes: int
    buffer_after_minutes: int
    capacity: int


@dataclass(frozen=True)
class _Counts:
    slots: int
    offered: int


@dataclass
class _Person:
    id: UUID
    location_id: UUID
    services: list[UUID]
    taken: _TakenTime = field(default_factory=lambda: _TakenTime())


def seed(
    connection: psycopg.Connection,
    sizes: Sizes,
    random_seed: int,
    bar: Progress,
    slug: str = "seed",
) -> list[SeededTenant]:
    """Make `sizes.tenants` tenants, with slugs `<slug>-<random seed>-<number>`.

    Dates are counted from `booking.now()`. Raises Problem where the extra "seed" is missing and
    where this random seed has been sown already.
    """
    try:
        import faker
    except ImportError:
        raise Problem(
            "Seeding needs Faker, which is not installed.",
            "pip install 'pgbooking[seed]'",
            EXIT_USAGE,
        ) from None
    names = faker.Faker()
    names.seed_instance(random_seed)
    task = bar.add_task("people", total=sizes.tenants * sizes.staff)
    made = []
    for number in range(1, sizes.tenants + 1):
        sower = _Sower(connection, names, random.Random(f"{slug}/{random_seed}/{number}"), sizes)  # noqa: S311
        with connection.transaction():
            for people in sower.sow(number, f"{slug}-{random_seed}-{number}"):
                bar.advance(task, people)
        made.append(sower.seeded())
    return made


def print_report(tenants: list[SeededTenant]) -> None:
    """The report for people."""
    for each in tenants:
        print(
            f"{each.name} ({each.slug}, {each.timezone}, {each.slot_alignment}): "
            f"{each.staff} staff, {each.locations} locations, {each.services} services, "
            f"{each.appointments} appointments, {each.busy_times} busy times; "
            f"{each.slots:,} slots published, {each.offered:,} of them free."
        )


class _TakenTime:
    """One person's claims, which never overlap: half-open, in order."""

    def __init__(self) -> None:
        self._claims: list[tuple[datetime, datetime]] = []

    def take(self, start: datetime, end: datetime) -> bool:
        """Take that time, if all of it is free."""
        place = bisect(self._claims, (start, end))
        before, after = self._claims[:place][-1:], self._claims[place : place + 1]
        if any(claim_end > start for _, claim_end in before):
            return False
        if any(claim_start < end for claim_start, _ in after):
            return False
        self._claims.insert(place, (start, end))
        return True


class _Sower:
    """Makes one tenant, statement by statement."""

    def __init__(
        self, connection: psycopg.Connection, names: Faker, dice: random.Random, sizes: Sizes
    ) -> None:
        self.connection = connection
        self.names = names
        self.dice = dice
        self.sizes = sizes
        self.now: datetime = fetch_value(connection, "verify_now")
        self.tenant_id = self._id()
        self.appointments = 0
        self.busy_times = 0

    def sow(self, number: int, slug: str) -> Iterator[int]:
        """Make it all; yields how many people have been published since the last time."""
        self.slug = slug
        self.name = self.names.company()
        self.alignment = ALIGNMENTS[(number - 1) % len(ALIGNMENTS)]
        self.timezone = ZONES[(number - 1) % len(ZONES)]
        self.zone = ZoneInfo(self.timezone)
        self.today = self.now.astimezone(self.zone).date()
        try:
            execute(
                self.connection,
                "seed_tenant",
                tenant_id=self.tenant_id,
                name=self.name,
                slug=slug,
                timezone=self.timezone,
                slot_alignment=self.alignment,
            )
        except psycopg.errors.UniqueViolation:
            raise Problem(
                f"A tenant {slug!r} is there already.", "Choose another --random-seed.", EXIT_USAGE
            ) from None
        self._schedules()
        self._copy("busy_times", self._busy_times())
        execute(self.connection, "seed_activate", tenant_id=self.tenant_id)
        for first in range(0, len(self.people), PUBLISHED_AT_ONCE):
            staff_ids = [each.id for each in self.people[first : first + PUBLISHED_AT_ONCE]]
            fetch(
                self.connection,
                "refresh_horizon",
                Written,
                tenant_id=self.tenant_id,
                staff_ids=staff_ids,
            )
            execute(self.connection, "seed_unqueue", tenant_id=self.tenant_id, staff_ids=staff_ids)
            yield len(staff_ids)
        self.appointments = self._copy("appointments", list(self._appointments()))

    def seeded(self) -> SeededTenant:
        """What has been made."""
        (counts,) = fetch(self.connection, "seed_counts", _Counts, tenant_id=self.tenant_id)
        return SeededTenant(
            tenant_id=self.tenant_id,
            name=self.name,
            slug=self.slug,
            timezone=self.timezone,
            slot_alignment=self.alignment,
            staff=len(self.people),
            locations=len(self.locations),
            services=len(self.services),
            appointments=self.appointments,
            busy_times=self.busy_times,
            slots=counts.slots,
            offered=counts.offered,
        )

    def _schedules(self) -> None:
        self.locations = [self._id() for _ in range(self.sizes.locations)]
        self._copy("locations", [(each, self.names.street_name()) for each in self.locations])
        self.services = {self._id(): each for each in SERVICES[: self.sizes.services]}
        self._copy(
            "appointment_types",
            [(service_id, *vars(each).values()) for service_id, each in self.services.items()],
        )
        self.people = [self._person(number) for number in range(self.sizes.staff)]
        self._copy("staff", [(each.id, self.names.name()) for each in self.people])
        self._copy(
            "staff_appointment_types",
            [(each.id, service) for each in self.people for service in each.services],
        )
        self._copy("working_hours", self._working_hours())
        self._copy("breaks", self._breaks())
        self._copy("schedule_exceptions", self._exceptions())

    def _person(self, number: int) -> _Person:
        """Everybody offers the first service and about two thirds of the others."""
        first, *others = self.services
        offered = [first, *(each for each in others if self.dice.random() < 0.66)]
        return _Person(self._id(), self.locations[number % len(self.locations)], offered)

    def _working_hours(self) -> Iterator[tuple[object, ...]]:
        """Five days a week; every third person has other hours for a season of three weeks."""
        season = (self.today + 21 * DAY, self.today + 41 * DAY)
        for number, person in enumerate(self.people):
            shift = self.dice.choice(SHIFTS)
            days_off = {7, self.dice.choice([1, 6])}
            for weekday in range(1, 8):
                if weekday in days_off:
                    continue
                row = (person.id, person.location_id, weekday)
                if number % 3 == 2:
                    yield (*row, *shift, None, season[0] - DAY)
                    yield (*row, "08:00", "14:00", *season)
                    yield (*row, *shift, season[1] + DAY, None)
                else:
                    yield (*row, *shift, None, None)

    def _breaks(self) -> Iterator[tuple[object, ...]]:
        """Lunch for each, and a meeting of everyone on Wednesdays."""
        for person in self.people:
            yield (person.id, None, *self.dice.choice(LUNCHES))
        yield (None, 3, "14:00", "14:30")

    def _exceptions(self) -> Iterator[tuple[object, ...]]:
        """A holiday for all, a week off for every fourth person, one open Sunday."""
        holiday = self.today + 17 * DAY
        yield (None, holiday, holiday, "closed", None, None, "Holiday")
        for person in self.people[::4]:
            first = self.today + self.dice.randrange(5, 45) * DAY
            yield (person.id, first, first + 4 * DAY, "closed", None, None, "Vacation")
        sunday = self.today + (14 - self.today.isoweekday()) * DAY
        yield (self.people[0].id, sunday, sunday, "open", "10:00", "15:00", "Open Sunday")

    def _busy_times(self) -> Iterator[tuple[object, ...]]:
        """Entries of another calendar: at odd minutes, and now and then on top of each other."""
        for person in self.people:
            for _ in range(self.sizes.busy_times_per_staff):
                self.busy_times += 1
                start = self._moment(self.dice.randrange(60))
                end = start + self.dice.choice([20, 30, 60, 90]) * MINUTE
                yield (person.id, start, end, f"event-{self.busy_times}")

    def _appointments(self) -> Iterator[tuple[object, ...]]:
        """Sorted by person and time: past ones, ones on free slots, ones written by hand."""
        total = self.sizes.appointments_per_staff
        free_slots = self._free_slots(total)
        for person in sorted(self.people, key=lambda each: each.id):
            rows = [self._by_hand(person, -self.dice.randrange(1, 60)) for _ in range(total // 5)]
            for slot in free_slots.get(person.id, [])[: total // 2]:
                rows += self._on_slot(person, slot)
            while len(rows) < total:
                rows.append(self._by_hand(person, self.dice.randrange(60)))
            yield from sorted(filter(None, rows), key=lambda row: row[8])

    def _free_slots(self, candidates: int) -> dict[UUID, list[_FreeSlot]]:
        """Free slots of each person, in an order that the random seed decides."""
        free: dict[UUID, list[_FreeSlot]] = {}
        for slot in fetch(
            self.connection,
            "seed_free_slots",
            _FreeSlot,
            tenant_id=self.tenant_id,
            staff_ids=[each.id for each in self.people],
            dice=str(self.dice.random()),
            candidates=candidates,
        ):
            free.setdefault(slot.staff_id, []).append(slot)
        return free

    def _on_slot(self, person: _Person, slot: _FreeSlot) -> list[tuple[Any, ...]]:
        """One booking of a slot, or up to four seats of a class."""
        if not person.taken.take(slot.claim_start, slot.claim_end):
            return []
        seats = self.dice.randint(1, 4) if slot.capacity > 1 else 1
        return [
            self._appointment(
                person,
                slot.location_id,
                slot.appointment_type_id,
                (slot.shape_id, slot.id),
                (slot.start_time, slot.end_time),
                (slot.buffer_before_minutes, slot.buffer_after_minutes),
                "confirmed",
            )
            for _ in range(seats)
        ]

    def _by_hand(self, person: _Person, days: int) -> tuple[Any, ...] | None:
        """One that somebody has written into the calendar, at any minute; some are cancelled."""
        start = self._moment(days)
        end = start + self.dice.choice([20, 30, 45, 60]) * MINUTE
        past = "no_show" if self.dice.random() < 0.05 else "completed"
        status = "cancelled" if self.dice.random() < 0.1 else "confirmed" if days >= 0 else past
        if status != "cancelled" and not person.taken.take(start, end):
            return None
        service = self.dice.choice(
            [each for each in person.services if self.services[each].capacity == 1]
        )
        return self._appointment(
            person, person.location_id, service, (None, None), (start, end), (0, 0), status
        )

    def _appointment(
        self,
        person: _Person,
        location_id: UUID,
        service: UUID,
        shape_and_slot: tuple[UUID | None, UUID | None],
        period: tuple[datetime, datetime],
        buffers: tuple[int, int],
        status: str,
    ) -> tuple[Any, ...]:
        customer = {"name": self.names.name(), "email": self.names.safe_email()}
        return (
            self._id(),
            person.id,
            location_id,
            service,
            *shape_and_slot,
            status,
            Jsonb(customer),
            *period,
            *buffers,
            self.services[service].price_cents,
        )

    def _moment(self, days: int) -> datetime:
        """Some minute between 8:00 and 19:59 local time, that many days from today."""
        day: date = self.today + days * DAY
        minute = self.dice.randrange(8 * 60, 20 * 60)
        local = datetime.combine(day, time(minute // 60, minute % 60), self.zone)
        return local.astimezone(UTC)

    def _copy(self, table: str, rows: Any) -> int:
        """Rows of this tenant into a table, by one statement."""
        return copy_rows(self.connection, f"seed_{table}", ((self.tenant_id, *row) for row in rows))

    def _id(self) -> UUID:
        return UUID(int=self.dice.getrandbits(128), version=4)
