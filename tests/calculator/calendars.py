"""Calendars that tests make up: in memory for the independent calculator, as rows for the database.

Ids are small numbers so that a failing calendar can be read. Rows are inserted without triggers:
they come with their shapes, seats and calendars as the triggers would have made them, and nothing
is recalculated before a test asks for it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from pgbooking.reference_calendar import Calendar, SlotName

MINUTE = timedelta(minutes=1)

Rows = list[dict[str, Any]]


def an_id(kind: int, number: int = 1) -> UUID:
    """A readable id of version 4 (version 8 is kept for slots)."""
    return UUID(f"{kind:08x}-0000-4000-8000-{number:012x}")


TENANT = an_id(0)


@dataclass(frozen=True)
class MadeUpCalendar:
    """A calendar, the moment at which it is looked at, and the local dates asked for."""

    calendar: Calendar
    now: datetime
    from_date: date
    to_date: date
    precompute_days: int = 60

    @property
    def materialized_until(self) -> date:
        """The tenant's today + least(precompute_days, booking_horizon_days) (design §4)."""
        tenant = self.calendar.tenant
        today = self.now.astimezone(ZoneInfo(tenant.timezone)).date()
        return today + timedelta(days=min(self.precompute_days, tenant.booking_horizon_days))


def insert(connection: psycopg.Connection, made_up: MadeUpCalendar) -> None:
    """Write the rows in the open transaction and set the clock for it; needs a superuser."""
    with connection.pipeline():
        connection.execute(
            "select set_config('booking.fake_now', %s, true),"
            " set_config('session_replication_role', 'replica', true)",
            [made_up.now.isoformat()],
        )
        for table, rows in _rows(made_up).items():
            if rows:
                _insert_rows(connection, table, rows)
        connection.execute("set local session_replication_role = origin")


def _insert_rows(connection: psycopg.Connection, table: str, rows: Rows) -> None:
    columns = [sql.Identifier(column) for column in rows[0]]
    values: list[sql.Composable] = list(columns)
    if table in ("appointments", "slot_reservations"):
        columns.append(sql.Identifier("slot_id"))
        values.append(
            sql.SQL("booking.slot_id(tenant_id, staff_id, location_id, start_time, shape_id)")
        )
    statement = sql.SQL(
        "insert into booking.{table} ({columns}) select {values}"
        " from jsonb_populate_recordset(null::booking.{table}, %s)"
    ).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(values),
    )
    connection.execute(statement, [json.dumps(rows, default=str)])


def _rows(made_up: MadeUpCalendar) -> dict[str, Rows]:
    calendar = made_up.calendar
    tenant = calendar.tenant
    tables: dict[str, Rows] = {
        "locations": [
            {"id": row.id, "name": "place", "timezone": row.timezone, "is_active": row.is_active}
            for row in calendar.locations
        ],
        "staff": [
            {
                "id": row.id,
                "display_name": "person",
                "is_active": row.is_active,
                "max_appointments_per_day": row.max_appointments_per_day,
                "compact_schedule": row.compact_schedule,
            }
            for row in calendar.staff
        ],
        "calendars": [
            {"staff_id": row.id, "materialized_until": made_up.materialized_until}
            for row in calendar.staff
        ],
        "slot_shapes": [
            {
                "id": row.id,
                "duration_minutes": row.duration_minutes,
                "buffer_before_minutes": row.buffer_before_minutes,
                "buffer_after_minutes": row.buffer_after_minutes,
                "step_minutes": row.step_minutes,
                "min_notice_minutes": row.min_notice_minutes,
                "max_advance_days": row.max_advance_days,
                "group_type_id": row.group_type_id,
            }
            for row in calendar.slot_shapes
        ],
        "appointment_types": list(_appointment_types(calendar)),
        "staff_appointment_types": [
            {"staff_id": row.staff_id, "appointment_type_id": row.appointment_type_id}
            for row in calendar.assignments
        ],
        "working_hours": [
            {
                "staff_id": row.staff_id,
                "location_id": row.location_id,
                "weekday": row.weekday,
                "start_time": _time(row.start_minute),
                "end_time": _time(row.end_minute),
                "valid_from": row.valid_from,
                "valid_until": row.valid_until,
            }
            for row in calendar.working_hours
        ],
        "breaks": [
            {
                "staff_id": row.staff_id,
                "location_id": row.location_id,
                "weekday": row.weekday,
                "start_time": _time(row.start_minute),
                "end_time": _time(row.end_minute),
                "valid_from": row.valid_from,
                "valid_until": row.valid_until,
            }
            for row in calendar.breaks
        ],
        "schedule_exceptions": [
            {
                "staff_id": row.staff_id,
                "location_id": row.location_id,
                "first_date": row.first_date,
                "last_date": row.last_date,
                "kind": row.kind,
                "start_time": _time(row.start_minute),
                "end_time": _time(row.end_minute),
            }
            for row in calendar.schedule_exceptions
        ],
        "busy_times": [
            {"staff_id": row.staff_id, "start_time": row.start_time, "end_time": row.end_time}
            for row in calendar.busy_times
        ],
        "travel_times": [
            {
                "from_location_id": row.from_location_id,
                "to_location_id": row.to_location_id,
                "minutes": row.minutes,
            }
            for row in calendar.travel_times
        ],
        "appointments": list(_appointments(calendar)),
        "slot_reservations": list(_slot_reservations(calendar)),
    }
    for rows in tables.values():
        for row in rows:
            row["tenant_id"] = tenant.id
    tenant_row = {
        "id": tenant.id,
        "name": "tenant",
        "timezone": tenant.timezone,
        "is_active": tenant.is_active,
        "slot_alignment": tenant.slot_alignment,
        "booking_horizon_days": tenant.booking_horizon_days,
        "precompute_days": made_up.precompute_days,
    }
    return {"tenants": [tenant_row], **tables}


def _time(minute: int | None) -> str | None:
    return None if minute is None else f"{minute // 60:02}:{minute % 60:02}"


def _appointment_types(calendar: Calendar) -> Iterator[dict[str, Any]]:
    shapes = {shape.id: shape for shape in calendar.slot_shapes}
    for row in calendar.appointment_types:
        shape = shapes[row.shape_id]
        yield {
            "id": row.id,
            "code": str(row.id),
            "name": "service",
            "duration_minutes": shape.duration_minutes,
            "buffer_before_minutes": shape.buffer_before_minutes,
            "buffer_after_minutes": shape.buffer_after_minutes,
            "slot_step_minutes": shape.step_minutes,
            "capacity": row.capacity,
            "min_notice_minutes": shape.min_notice_minutes,
            "max_advance_days": shape.max_advance_days,
            "is_active": row.is_active,
            "shape_id": row.shape_id,
        }


def _appointments(calendar: Calendar) -> Iterator[dict[str, Any]]:
    attendees = Counter(row.slot for row in calendar.appointments if row.is_live)
    seats: Counter[SlotName | None] = Counter()
    for row in calendar.appointments:
        if row.shape_id is None:
            # By hand: any length.
            type_id, seat, capacity = calendar.appointment_types[0].id, 1, 1
        else:
            type_id, capacity = _type_and_capacity(calendar, row.shape_id)
            # Those who came before a class was made smaller keep the seats they took.
            capacity = max(capacity, attendees[row.slot])
            seats[row.slot] += row.is_live
            seat = seats[row.slot] if row.is_live else 1
        yield {
            "id": row.id,
            "staff_id": row.staff_id,
            "location_id": row.location_id,
            "appointment_type_id": type_id,
            "shape_id": row.shape_id,
            "seat": seat,
            "capacity": capacity,
            "start_time": row.start_time,
            "end_time": row.end_time,
            "buffer_before_minutes": (row.start_time - row.claim_start) // MINUTE,
            "buffer_after_minutes": (row.claim_end - row.end_time) // MINUTE,
            "status": row.status,
        }


def _slot_reservations(calendar: Calendar) -> Iterator[dict[str, Any]]:
    seats: Counter[SlotName] = Counter()
    for hold in calendar.holds:
        type_id, capacity = _type_and_capacity(calendar, hold.shape_id)
        seats[hold.slot] += 1
        yield {
            "staff_id": hold.staff_id,
            "location_id": hold.location_id,
            "shape_id": hold.shape_id,
            "appointment_type_id": type_id,
            "start_time": hold.start_time,
            "claim": f"[{hold.claim_start.isoformat()},{hold.claim_end.isoformat()})",
            "seat": seats[hold.slot],
            "capacity": max(capacity, seats[hold.slot]),
            "session_hash": "\\x" + hold.session_hash.hex(),
            "expires_at": hold.expires_at,
        }


def _type_and_capacity(calendar: Calendar, shape_id: UUID) -> tuple[UUID, int]:
    """A type to write next to the shape (any, where no type has it any more), and its seats."""
    for row in calendar.appointment_types:
        shape = next(shape for shape in calendar.slot_shapes if shape.id == shape_id)
        if row.id == shape.group_type_id:
            return row.id, row.capacity
        if row.shape_id == shape_id:
            return row.id, 1
    return calendar.appointment_types[0].id, 1
