"""Which days of a calendar are imported or exported, and in which time zone they begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import psycopg

from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import fetch


@dataclass(frozen=True)
class Window:
    """The local days that are looked at, both inclusive, and as instants in their zone."""

    time_zone: str
    first_date: date
    last_date: date
    start_time: datetime
    end_time: datetime


def calendar_window(
    connection: psycopg.Connection,
    tenant_id: UUID,
    dates: tuple[date | None, date | None],
    *,
    staff_id: UUID | None = None,
    location_id: UUID | None = None,
    days_back: int,
    time_zone: str | None = None,
) -> Window:
    """The days from the first to the last date, by default up to the tenant's horizon.

    Their zone is that of the location, else that of the person's places if it is one, else the
    tenant's. Raises Problem (exit code 2) where there is no such day.
    """
    (window,) = fetch(
        connection,
        "calendar_window",
        Window,
        tenant_id=tenant_id,
        staff_id=staff_id,
        location_id=location_id,
        first_date=dates[0],
        last_date=dates[1],
        days_back=days_back,
        time_zone=time_zone,
    )
    if window.last_date < window.first_date:
        raise Problem(
            f"The last day, {window.last_date}, is before the first, {window.first_date}.",
            None,
            EXIT_USAGE,
        )
    return window
