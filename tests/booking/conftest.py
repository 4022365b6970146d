"""What the tests of holds share: times, slots without a row, what anybody sees, and a town."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.api import Caller, customer
from tests.booking.booked import ADA, OTHER_SESSION, SESSION, Booking, book, reserve, rows, slot_at
from tests.postgres import Server
from tests.salon import TEN, Salon, make_salon, salon, set_clock, shared_salon

__all__ = ["salon", "shared_salon"]

TUESDAY = TEN.date()


def at(clock: str, day: int = 3) -> datetime:
    """A time of day in Berlin, on Tuesday, 3 March 2026, or another day before the 29th."""
    return datetime.fromisoformat(f"2026-03-{day:02}T{clock}+01:00")


def offered(salon: Salon, code: str, **columns: object) -> UUID:
    """Another service that the salon's person offers."""
    type_id = salon.insert("appointment_types", code=code, name=code.title(), **columns)
    salon.db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " values (%s, %s, %s)",
        (salon.tenant, salon.person, type_id),
    )
    return type_id


def named(
    salon: Salon,
    type_id: UUID,
    start: datetime | str = TEN,
    person: UUID | None = None,
    location: UUID | None = None,
) -> dict[str, Any]:
    """The arguments that find a slot which has no row: its id, and what its id is made of."""
    parts: dict[str, Any] = {
        "tenant_id": salon.tenant,
        "staff_id": person or salon.person,
        "location_id": location or salon.location,
        "start_time": start,
    }
    (row,) = rows(
        salon,
        "select booking.slot_id(%s, %s, %s, %s, t.shape_id)"
        " from booking.appointment_types t where t.id = %s",
        *(*parts.values(), type_id),
    )
    return {"slot_id": row["slot_id"], **parts}


def listed(salon: Salon, type_id: UUID, day: date = TUESDAY) -> dict[str, int]:
    """What anybody sees of a type on a day: local starts and the seats left."""
    with salon.db.transaction():
        salon.db.execute("set local role anon")
        slots = rows(
            salon,
            "select to_char(s.start_time at time zone 'Europe/Berlin', 'HH24:MI') as start,"
            " s.seats_left"
            " from api.availability_slots s"
            " join api.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s and s.staff_id = %s and t.id = %s"
            " and (s.start_time at time zone 'Europe/Berlin')::date = %s order by s.start_time",
            *(salon.tenant, salon.person, type_id, day),
        )
    return {slot["start"]: slot["seats_left"] for slot in slots}


# Two tenants, for whoever has no business with what is another's

DOROTHEA = customer(UUID("00000000-0000-4000-a000-0000000000d0"))
BALTHASAR = customer(UUID("00000000-0000-4000-a000-0000000000ba"))
DOROTHEAS_DATA = {
    "name": "Dorothea Vogel",
    "email": "vogel@example.net",
    "phone": "+49 170 5557777",
}
BALTHASARS_DATA = {"name": "Balthasar Quist", "email": "quist@example.net"}
AUGUSTAS_DATA = {"name": "Augusta Byron", "email": "byron@example.net"}


@dataclass
class Town:
    """Two tenants. In the salon Ada has an appointment at 16:00 and holds 12:00, Dorothea has one
    at 14:00 and holds 11:00; next door Balthasar has one at 14:00 and holds 11:00."""

    url: str
    salon: Salon
    neighbour: Salon
    colleague: UUID
    adas: Booking
    dorotheas: Booking
    balthasars: Booking
    sessions: list[psycopg.Connection[Any]] = field(default_factory=list)

    def slot(self, clock: str, type_id: UUID | None = None, person: UUID | None = None) -> UUID:
        """A slot of the salon on Tuesday."""
        return slot_at(self.salon, at(clock), type_id, person)

    def execute(self, statement: str, *values: object) -> None:
        """Change something, as a superuser."""
        self.salon.db.execute(statement.encode(), values)

    def lock(self, statement: str) -> None:
        """Let another session lock rows until the test ends; nobody waits long for it."""
        self.execute("alter function booking.attempt(text, jsonb) set lock_timeout = '20ms'")
        other = psycopg.connect(self.url)
        self.sessions.append(other)
        other.execute(statement.encode())


def make_town(db: psycopg.Connection[Any], url: str) -> Town:
    """Build it."""
    salon, neighbour = make_salon(db), make_salon(db)
    for statement in (
        "update booking.tenants set name = 'Konkurrenz' where id = %s",
        "update booking.locations set name = 'Hinterhaus' where tenant_id = %s",
        "update booking.staff set display_name = 'Zenobia' where tenant_id = %s",
    ):
        db.execute(statement.encode(), (neighbour.tenant,))

    def booked(at_salon: Salon, clock: str, caller: Caller, data: dict[str, str]) -> Booking:
        return book(at_salon, slot_at(at_salon, at(clock)), caller, user_data=data)

    town = Town(
        url,
        salon,
        neighbour,
        salon.add_person(),
        booked(salon, "16:00", ADA, AUGUSTAS_DATA),
        booked(salon, "14:00", DOROTHEA, DOROTHEAS_DATA),
        booked(neighbour, "14:00", BALTHASAR, BALTHASARS_DATA),
    )
    reserve(salon, town.slot("12:00"), SESSION, ADA)
    reserve(salon, town.slot("11:00"), OTHER_SESSION, DOROTHEA)
    reserve(neighbour, slot_at(neighbour, at("11:00")), OTHER_SESSION, BALTHASAR)
    return town


@pytest.fixture(scope="module")
def built_town(module_database_url: str) -> Town:
    """Built once, and then only copied."""
    with psycopg.connect(module_database_url, autocommit=True) as db:
        return make_town(db, module_database_url)


@pytest.fixture
def town(server: Server, built_town: Town) -> Iterator[Town]:
    """A copy of this test's own."""
    original = str(conninfo_to_dict(built_town.url)["dbname"])
    with server.database(original) as url, psycopg.connect(url, autocommit=True) as db:
        set_clock(db)
        town = replace(
            built_town,
            url=url,
            salon=replace(built_town.salon, db=db),
            neighbour=replace(built_town.neighbour, db=db),
            sessions=[],
        )
        yield town
        for session in town.sessions:
            session.close()
