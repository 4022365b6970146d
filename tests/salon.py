"""A small tenant to try things on: one place in Berlin, one person, a cut and a class.

The clock stands at Monday, 2 March 2026, 07:00 in Berlin. They work 09:00 to 17:00 every day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.postgres import Server

NOW = "2026-03-02 07:00+01"
TEN = datetime.fromisoformat("2026-03-03 10:00+01:00")


@dataclass
class Salon:
    """The tenant's ids, and what tests write most."""

    db: psycopg.Connection[Any]
    tenant: UUID
    location: UUID
    person: UUID
    cut: UUID
    course: UUID

    def insert(self, table: str, **columns: object) -> UUID:
        """Insert a row of this tenant; returns its id."""
        return insert(self.db, table, **({"tenant_id": self.tenant} | columns))

    def add_person(self, name: str = "Ben") -> UUID:
        """Another person with the same hours who offers the same."""
        person = self.insert("staff", display_name=name)
        for type_id in (self.cut, self.course):
            self.db.execute(
                "insert into booking.staff_appointment_types"
                " (tenant_id, staff_id, appointment_type_id) values (%s, %s, %s)",
                (self.tenant, person, type_id),
            )
        self.db.execute(
            "insert into booking.working_hours"
            " (tenant_id, staff_id, location_id, weekday, start_time, end_time)"
            " select %s, %s, %s, weekday, '09:00', '17:00' from generate_series(1, 7) as weekday",
            (self.tenant, person, self.location),
        )
        return person

    def appointment(self, start: datetime = TEN, minutes: int = 30, **columns: object) -> UUID:
        """Insert an appointment by hand: no slot, any time."""
        row: dict[str, object] = {
            "staff_id": self.person,
            "location_id": self.location,
            "appointment_type_id": self.cut,
            "start_time": start,
            "end_time": start + timedelta(minutes=minutes),
        }
        return self.insert("appointments", **(row | columns))

    def slot(self, type_id: UUID, start: datetime = TEN) -> dict[str, Any]:
        """The columns of an appointment that takes the published slot of that type and start."""
        cursor = self.db.execute(
            "select s.staff_id, s.location_id, t.id as appointment_type_id, s.shape_id,"
            " s.id as slot_id, s.start_time, s.end_time,"
            " sh.buffer_before_minutes, sh.buffer_after_minutes"
            " from booking.availability_slots s"
            " join booking.slot_shapes sh on sh.tenant_id = s.tenant_id and sh.id = s.shape_id"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s and t.id = %s and s.staff_id = %s and s.start_time = %s",
            (self.tenant, type_id, self.person, start),
        )
        row = cursor.fetchone()
        assert row is not None, f"no slot of {type_id} at {start}"
        assert cursor.description is not None
        return dict(zip([column.name for column in cursor.description], row, strict=True))

    def hold(self, type_id: UUID, start: datetime = TEN, **columns: object) -> UUID:
        """Hold the published slot of that type and start for ten minutes."""
        row = self.slot(type_id, start)
        for column in ("end_time", "buffer_before_minutes", "buffer_after_minutes"):
            del row[column]
        row |= {
            "session_hash": b"s" * 32,
            "expires_at": datetime.fromisoformat("2026-03-02 07:10+01:00"),
        }
        return self.insert("slot_reservations", **(row | columns))

    def available(self, type_id: UUID, start: datetime = TEN) -> bool:
        """Whether the public view offers that start."""
        row = self.db.execute(
            "select exists (select from booking.availability_slots s"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s and s.staff_id = %s and t.id = %s and s.start_time = %s"
            " and s.is_available"
            " and (s.reserved_until is null or s.reserved_until <= booking.now()))",
            (self.tenant, self.person, type_id, start),
        ).fetchone()
        assert row is not None
        return bool(row[0])

    def differences(self) -> list[tuple[Any, ...]]:
        """What is published and not what the calculator says: nothing, one hopes."""
        return self.db.execute(
            "select kind, start_time, published, expected from booking.find_differences(%s)",
            (self.tenant,),
        ).fetchall()


def insert(db: psycopg.Connection[Any], table: str, **columns: object) -> UUID:
    """Insert one row; returns its id."""
    row_id = columns.setdefault("id", uuid4())
    db.execute(
        f"insert into booking.{table} ({', '.join(columns)})"
        f" values ({', '.join(['%s'] * len(columns))})".encode(),
        list(columns.values()),
    )
    assert isinstance(row_id, UUID)
    return row_id


def set_clock(db: psycopg.Connection[Any], now: str = NOW) -> None:
    """Let booking.now() stand still at that instant, for this session."""
    db.execute("select set_config('booking.fake_now', %s, false)", (now,))


def limit_calls(db: psycopg.Connection[Any], per_minute: int) -> None:
    """Let each client make so many calls a minute of each function."""
    db.execute(
        "update booking.settings set reads_per_minute = %(limit)s, reserves_per_minute = %(limit)s,"
        " bookings_per_minute = %(limit)s, recalculations_per_minute = %(limit)s",
        {"limit": per_minute},
    )


def make_salon(db: psycopg.Connection[Any]) -> Salon:
    """Insert the tenant, open the clock at NOW, and let callers call as often as they like."""
    set_clock(db)
    limit_calls(db, 1_000_000)
    tenant = insert(db, "tenants", name="Salon", timezone="Europe/Berlin", booking_horizon_days=10)
    location = insert(db, "locations", tenant_id=tenant, name="Mitte")
    cut = insert(
        db, "appointment_types", tenant_id=tenant, code="cut", name="Cut", duration_minutes=30
    )
    course = insert(
        db,
        "appointment_types",
        tenant_id=tenant,
        code="course",
        name="Course",
        duration_minutes=60,
        capacity=10,
    )
    salon = Salon(db, tenant, location, uuid4(), cut, course)
    salon.person = salon.add_person("Ada")
    return salon


@pytest.fixture(scope="module")
def shared_salon(module_database_url: str) -> Iterator[Salon]:
    """One for the tests of a module, where each is refused and leaves nothing behind."""
    with psycopg.connect(module_database_url, autocommit=True) as db:
        yield make_salon(db)


@pytest.fixture(scope="session")
def salon_template(server: Server) -> Iterator[tuple[str, Salon]]:
    """A database with a salon in it, to be cloned: making one takes many times as long."""
    with server.database(server.template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            name, made = db.info.dbname, make_salon(db)
        yield name, made


@pytest.fixture
def salon(db: psycopg.Connection[Any], salon_template: tuple[str, Salon]) -> Salon:
    """A small tenant in the test's own database, which is a clone of salon_template."""
    set_clock(db)
    return replace(salon_template[1], db=db)
