"""What tests of analytics share: a clock, the views as callers read them, and the job."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.api import Caller
from tests.booking.booked import admin_of
from tests.rls.acting import acting_as
from tests.salon import Salon, set_clock

Figures = list[dict[str, Any]]

# 2026.
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 3, day) for day in (2, 3, 4, 5))

VIEWS = (
    "popular_slots",
    "booking_funnel",
    "hold_refusals",
    "peak_demand",
    "staff_utilisation",
    "cancellations",
    "lead_times",
)


def at(day: date, time: str) -> datetime:
    """That time in Berlin, in winter."""
    return datetime.fromisoformat(f"{day} {time}+01:00")


def clock(salon: Salon, day: date, time: str) -> None:
    """Let it be that time in Berlin."""
    set_clock(salon.db, at(day, time).isoformat())


def figures(salon: Salon, view: str, columns: str = "*", caller: Caller | None = None) -> Figures:
    """What somebody, or the tenant's admin, reads by GET; in the order of the columns."""
    with acting_as(salon.db, caller or admin_of(salon), method="GET") as db:
        cursor = db.execute(f"select {columns} from api.{view}".encode())
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        rows = sorted(cursor.fetchall(), key=lambda row: [(value is None, value) for value in row])
        return [dict(zip(names, map(number, row), strict=True)) for row in rows]


def number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def roll_up(salon: Salon) -> int:
    """The job, to its end; returns how many dates it did."""
    done = 0
    while step := salon.db.execute("select booking.roll_up_next()").fetchall()[0][0]:
        done += step
    return done
