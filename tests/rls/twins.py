"""Two tenants that are alike to the last id: keys begin with the tenant, so the same uuids may name
people, places, services and appointments of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import Caller, customer, member
from tests.postgres import Server
from tests.rls.acting import Session
from tests.salon import TEN, Salon, insert, set_clock

USER = uuid4()
THEIR_WORD = "Geheimnis"
HOUR = timedelta(hours=1)
COPIED = (
    "locations",
    "appointment_types",
    "staff",
    "staff_appointment_types",
    "working_hours",
    "breaks",
    "schedule_exceptions",
    "busy_times",
    "appointments",
)
# The views in which a tenant's people write.
SCHEDULES = ("working_hours", "breaks", "schedule_exceptions", "busy_times")
WRITTEN = ("appointments", *SCHEDULES)


@dataclass(frozen=True)
class Twins:
    """`own` is the tenant of the callers; the other one has all of its rows, ids included, what is
    said in them is secret; and some rows of its own."""

    own: Salon
    other: UUID
    colleague: UUID
    only_other_person: UUID
    only_other_location: UUID
    only_other_appointment: UUID

    @property
    def db(self) -> Session:
        return self.own.db

    @property
    def admin(self) -> Caller:
        return member(uuid4(), self.own.tenant, "admin")

    @property
    def staff(self) -> Caller:
        return member(uuid4(), self.own.tenant, "staff", self.own.person)

    @property
    def both(self) -> Caller:
        """Staff in both, but not the same person."""
        memberships = {
            str(self.own.tenant): {"role": "staff", "staff_id": str(self.own.person)},
            str(self.other): {"role": "staff", "staff_id": str(self.colleague)},
        }
        return Caller(
            "authenticated", {"sub": str(uuid4()), "app_metadata": {"tenants": memberships}}
        )

    @property
    def members(self) -> list[Caller]:
        """Of the own tenant alone."""
        return [self.admin, self.staff]

    @property
    def outsiders(self) -> list[Caller]:
        """Whoever has no business in the other tenant."""
        return [*self.members, customer(USER), customer(uuid4()), Caller("authenticated")]

    def rows(self, table: str, tenant: UUID) -> list[tuple[Any, ...]]:
        """All that stands in a table about a tenant."""
        return self.db.execute(
            f"select t::text from booking.{table} t where tenant_id = %s order by 1".encode(),
            (tenant,),
        ).fetchall()


@pytest.fixture(scope="module")
def twins(server: Server, salon_template: tuple[str, Salon]) -> Iterator[Twins]:
    """Both, for the tests of a module that leave nothing behind."""
    template, made = salon_template
    with server.database(template) as url, psycopg.connect(url, autocommit=True) as db:
        set_clock(db)
        yield make_twins(replace(made, db=db))


@pytest.fixture
def fresh_twins(salon: Salon) -> Twins:
    """Both, in the test's own database."""
    return make_twins(salon)


def make_twins(salon: Salon) -> Twins:
    """Both with two people, and one row at least in each of the written views for each of them."""
    colleague = salon.add_person()
    for number, person in enumerate((salon.person, colleague)):
        row: dict[str, Any] = {"staff_id": person}
        salon.appointment(TEN, **row, customer_id=USER, notes="a note", external_id=f"a{number}")
        salon.insert("breaks", **row, start_time="12:00", end_time="12:30")
        salon.insert(
            "schedule_exceptions",
            **row,
            first_date="2026-03-05",
            last_date="2026-03-05",
            kind="closed",
            note="a note",
        )
        salon.insert(
            "busy_times",
            **row,
            start_time=TEN + 4 * HOUR,
            end_time=TEN + 5 * HOUR,
            source="calendar",
            external_id=f"b{number}",
        )
    salon.insert("breaks", start_time="15:00", end_time="15:15")
    salon.insert(
        "schedule_exceptions", first_date="2026-03-06", last_date="2026-03-06", kind="closed"
    )

    other = insert(
        salon.db, "tenants", name="Other", timezone="Europe/Berlin", booking_horizon_days=10
    )
    for table in COPIED:
        copy(salon.db, table, salon.tenant, other)
    made = Salon(salon.db, other, salon.location, salon.person, salon.cut, salon.course)
    person = made.add_person("Only theirs")
    twins = Twins(
        salon,
        other,
        colleague,
        person,
        made.insert("locations", name="Only theirs"),
        made.appointment(
            TEN + 2 * HOUR,
            staff_id=person,
            customer=f'{{"name": "{THEIR_WORD}"}}',
            customer_id=uuid4(),
        ),
    )
    salon.db.execute(
        "update booking.appointments set customer = jsonb_build_object('name', %(word)s::text),"
        " notes = %(word)s, source = %(word)s, price_cents = 4711, customer_id = null"
        " where tenant_id = %(other)s",
        {"word": THEIR_WORD, "other": other},
    )
    for table, column in (
        ("schedule_exceptions", "note"),
        ("busy_times", "external_id"),
    ):
        salon.db.execute(
            f"update booking.{table} set {column} = %s || id where tenant_id = %s".encode(),
            (THEIR_WORD, other),
        )
    return twins


def copy(db: Session, table: str, tenant: UUID, other: UUID) -> None:
    """Insert the rows of one tenant for the other one, with their ids."""
    columns = [
        row[0]
        for row in db.execute(
            "select attname::text from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and not attisdropped and attgenerated = ''"
            " and attname not in ('tenant_id', 'shape_id')",
            (f"booking.{table}",),
        ).fetchall()
    ]
    names = ", ".join(columns)
    db.execute(
        f"insert into booking.{table} (tenant_id, {names})"
        f" select %s, {names} from booking.{table} where tenant_id = %s".encode(),
        (other, tenant),
    )
