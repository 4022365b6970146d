"""What tests of booking share: booking as clients do, and looking at what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.string import TextLoader

from tests.api import ANON, Answer, Api, Caller, customer, member
from tests.salon import TEN, Salon

SESSION = "session-of-ada-0123456789"
OTHER_SESSION = "session-of-bob-0123456789"
ADA = customer(UUID("00000000-0000-4000-a000-00000000000a"))
BOB = customer(UUID("00000000-0000-4000-a000-00000000000b"))
ADAS_DATA = {"name": "Ada Lovelace", "email": "ada@example.org"}

Rows = Mapping[tuple[str, str], Mapping[str, str | None]]

# What a refused call must leave alone: everything but the audit trail.
TABLES = ("appointments", "slot_reservations", "availability_slots", "calendars", "events")


@dataclass(frozen=True)
class Booking:
    """A booked appointment as its customer knows it."""

    appointment: UUID
    token: str
    slot: UUID


def user_of(caller: Caller) -> UUID:
    """The user id of a signed-in caller."""
    return UUID(str(caller.claims["sub"]))


def staff_of(salon: Salon, person: UUID | None = None) -> Caller:
    """A signed-in person whose calendar it is."""
    return member(uuid4(), salon.tenant, "staff", person or salon.person)


def admin_of(salon: Salon) -> Caller:
    """A signed-in admin of the tenant."""
    return member(uuid4(), salon.tenant, "admin")


def add_service(salon: Salon, code: str, **columns: object) -> UUID:
    """Another service that the person offers; it has the slots of the cut unless it is longer."""
    row = {"code": code, "name": code.title(), "duration_minutes": 30} | columns
    service = salon.insert("appointment_types", **row)
    salon.db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " values (%s, %s, %s)",
        (salon.tenant, salon.person, service),
    )
    return service


def call(salon: Salon, function: str, caller: Caller = ANON, **arguments: Any) -> Answer:
    """Call a function of the API in the salon's own session."""
    return Api(salon.db).call(function, caller, **arguments)


@contextmanager
def direct_connection(salon: Salon, caller: Caller) -> Iterator[None]:
    """A transaction for direct writes, under the token of a caller."""
    settings = {
        "request.jwt.claims": {"role": caller.role, **caller.claims},
        "request.headers": {"x-forwarded-for": "192.0.2.1"},
    }
    with salon.db.transaction():
        for name, value in settings.items():
            salon.db.execute("select set_config(%s, %s, true)", (name, json.dumps(value)))
        yield


def slot_at(
    salon: Salon,
    start: datetime = TEN,
    type_id: UUID | None = None,
    person: UUID | None = None,
    location: UUID | None = None,
) -> UUID:
    """The id of the published slot of that type (the cut) and start."""
    slots = rows(
        salon,
        "select s.id from booking.availability_slots s"
        " join booking.appointment_types t on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
        " where s.tenant_id = %s and t.id = %s and s.staff_id = %s and s.start_time = %s"
        " and (%s::uuid is null or s.location_id = %s)",
        *(salon.tenant, type_id or salon.cut, person or salon.person, start, location, location),
    )
    assert len(slots) == 1, f"{len(slots)} slots at {start}"
    slot = slots[0]["id"]
    assert isinstance(slot, UUID)
    return slot


def reserve(
    salon: Salon,
    slot: UUID,
    session_id: str = SESSION,
    caller: Caller = ANON,
    appointment_type: str | None = "cut",
) -> Answer:
    """Hold a slot, which must succeed."""
    answer = call(
        salon,
        "reserve_slot",
        caller,
        slot_id=slot,
        session_id=session_id,
        appointment_type=appointment_type,
    )
    assert answer.success, answer
    return answer


def create(
    salon: Salon,
    slot: UUID,
    caller: Caller = ADA,
    *,
    session_id: str | None = SESSION,
    user_data: object = ADAS_DATA,
    appointment_type: str = "cut",
    **more: Any,
) -> Answer:
    """Book a slot that is held, or be refused."""
    return call(
        salon,
        "create_appointment",
        caller,
        slot_id=slot,
        session_id=session_id,
        user_data=user_data,
        appointment_type=appointment_type,
        **more,
    )


def book(
    salon: Salon,
    slot: UUID | None = None,
    caller: Caller = ADA,
    *,
    appointment_type: str = "cut",
    **more: Any,
) -> Booking:
    """Hold a slot (the cut at ten) and book it, which must succeed."""
    slot = slot or slot_at(salon)
    reserve(salon, slot, caller=caller, appointment_type=appointment_type)
    answer = create(salon, slot, caller, appointment_type=appointment_type, **more)
    assert answer.success, answer
    return Booking(UUID(answer.body["appointment_id"]), answer.body["manage_token"], slot)


def assert_refused(answer: Answer, code: str, status: int) -> None:
    """The answer is that refusal, in the envelope that clients rely on."""
    assert (answer.code, answer.status) == (code, status), answer
    assert answer.body.keys() == {"success", "code", "message", "details", "hint"}
    assert answer.body["success"] is False
    assert answer.body["message"]


def rows(salon: Salon, query: str, *values: object) -> list[dict[str, Any]]:
    """The rows of a query, by column name."""
    cursor = salon.db.execute(query.encode(), values)
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def appointment(salon: Salon, appointment_id: UUID) -> dict[str, Any]:
    """The row of an appointment."""
    (row,) = rows(salon, "select * from booking.appointments where id = %s", appointment_id)
    return row


def holds(salon: Salon) -> list[dict[str, Any]]:
    """The rows of slot_reservations of the tenant."""
    return rows(salon, "select * from booking.slot_reservations where tenant_id = %s", salon.tenant)


def audit_rows(salon: Salon) -> list[dict[str, Any]]:
    """Everything on record, of all tenants, oldest first."""
    return rows(salon, "select * from booking.audit_log order by ctid")


def events(salon: Salon, kind: str | None = None) -> list[dict[str, Any]]:
    """The tenant's events, oldest first."""
    return rows(
        salon,
        "select * from booking.events where tenant_id = %s and (%s::text is null or kind = %s)"
        " order by ctid",
        *(salon.tenant, kind, kind),
    )


def everything(salon: Salon) -> Rows:
    """What a refused call must leave as it is, of all tenants: as text, because making thousands
    of times and ranges of it would take much longer than the call."""
    cursor = salon.db.cursor()
    for each in cursor.adapters.types:
        for oid in (each.oid, each.array_oid):
            cursor.adapters.register_loader(oid, TextLoader)
    found = {}
    for table in TABLES:
        cursor.execute(f"select * from booking.{table}".encode())
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        key = names.index("staff_id" if table == "calendars" else "id")
        for row in cursor:
            found[table, row[key]] = dict(zip(names, row, strict=True))
    return found


def changes_since(salon: Salon, before: Rows) -> list[str]:
    """Which rows came, went, or have other values in which columns."""
    after = everything(salon)
    return [
        f"{table} {key}: "
        + ", ".join(
            f"{column} {old.get(column)} -> {new.get(column)}"
            for column in old.keys() | new.keys()
            if old.get(column) != new.get(column)
        )
        for table, key in sorted(before.keys() | after.keys())
        for old, new in [(before.get((table, key), {}), after.get((table, key), {}))]
        if old != new
    ]
