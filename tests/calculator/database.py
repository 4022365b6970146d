"""The database's own answers, as the rows of the independent calculator."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from pgbooking.reference import GridSlot, Period, PublishedSlot
from tests.calculator.calendars import MadeUpCalendar

DAY = timedelta(days=1)


def calculated_slots(
    connection: psycopg.Connection, made_up: MadeUpCalendar, staff_ids: Sequence[UUID]
) -> list[GridSlot]:
    """What `booking.calculate_slots` says of the dates asked for."""
    rows = _rows(
        connection,
        "select staff_id, location_id, shape_id, start_time, end_time, duration_minutes, claim,"
        " capacity, booked, is_free, is_available, bookable_from, bookable_until"
        " from booking.calculate_slots(%s, %s, %s, %s)",
        [made_up.calendar.tenant.id, list(staff_ids), made_up.from_date, made_up.to_date],
    )
    return [GridSlot(**row) for row in rows]


def refreshed_slots(
    connection: psycopg.Connection, made_up: MadeUpCalendar, staff_ids: Sequence[UUID]
) -> list[PublishedSlot]:
    """What `availability_slots` holds after a refresh of all dates that have rows."""
    tenant_id = made_up.calendar.tenant.id
    connection.execute(
        "select booking.refresh_slots(%s, %s, %s, %s)",
        [tenant_id, list(staff_ids), made_up.now.date() - DAY, made_up.materialized_until],
    )
    return stored_slots(connection, tenant_id, staff_ids)


def stored_slots(
    connection: psycopg.Connection, tenant_id: UUID, staff_ids: Sequence[UUID]
) -> list[PublishedSlot]:
    """The rows of `availability_slots`, sorted like those of `published_slots`."""
    return _published(
        connection,
        "booking.availability_slots where tenant_id = %s and staff_id = any (%s)",
        [tenant_id, list(staff_ids)],
    )


def calculated_beyond(
    connection: psycopg.Connection, tenant_id: UUID, staff_ids: Sequence[UUID]
) -> list[PublishedSlot]:
    """What a listing calculates of the days that are not published, sorted alike."""
    return _published(
        connection,
        "booking.expected_slots(%s, %s, null, null, p_beyond => true)",
        [tenant_id, list(staff_ids)],
    )


def _published(
    connection: psycopg.Connection, source: str, parameters: list[Any]
) -> list[PublishedSlot]:
    rows = _rows(
        connection,
        "select staff_id, location_id, shape_id, start_time, end_time, duration_minutes, claim,"
        " capacity, seats_left, is_available, bookable_from, bookable_until, reserved_until,"
        f" reserved_by_session, appointment_id from {source}"
        " order by location_id, shape_id, start_time",
        parameters,
    )
    return [PublishedSlot(**row) for row in rows]


def _rows(
    connection: psycopg.Connection, query: str, parameters: list[Any]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query.encode(), parameters).fetchall()
    for row in rows:
        row["claim"] = Period(row["claim"].lower, row["claim"].upper)
        for column, value in row.items():
            if isinstance(value, datetime):
                row[column] = value.astimezone(UTC)
        row["claim"] = Period(*(bound.astimezone(UTC) for bound in row["claim"]))
    return rows
