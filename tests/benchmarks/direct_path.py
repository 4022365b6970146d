"""How a booking page found free times before there was a table of them, for comparison.

People, and for each day of the week their hours, their appointments and their busy times: 22
queries over raw tables, and everything else in the client. Correct for the tenant of the benchmark
(no breaks, exceptions, travel, limits or groups), and no faster or slower than it has to be.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

STEP = timedelta(minutes=15)
ZONE = ZoneInfo("Europe/Berlin")

PEOPLE = "select id, display_name from booking.staff where tenant_id = %s and is_active"
HOURS = """
select staff_id, start_time, end_time from booking.working_hours
where tenant_id = %s and weekday = %s
"""
APPOINTMENTS = """
select staff_id, start_time, end_time, customer, notes, status from booking.appointments
where tenant_id = %s and start_time < %s and end_time > %s and status <> 'cancelled'
"""
BUSY = """
select staff_id, start_time, end_time from booking.busy_times
where tenant_id = %s and start_time < %s and end_time > %s
"""


def everyones_week(
    connection: psycopg.Connection[Any], tenant_id: UUID, first: date, duration_minutes: int
) -> list[tuple[UUID, datetime, datetime]]:
    """Free (staff_id, start, end) of seven days, by person and start."""
    duration = timedelta(minutes=duration_minutes)
    people = [row[0] for row in connection.execute(PEOPLE, [tenant_id])]
    free = []
    for day in (first + timedelta(days=n) for n in range(7)):
        begins, ends = (
            datetime(at.year, at.month, at.day, tzinfo=ZONE).astimezone(UTC)
            for at in (day, day + timedelta(days=1))
        )
        hours = connection.execute(HOURS, [tenant_id, day.isoweekday()]).fetchall()
        taken = defaultdict(list)
        for query in (APPOINTMENTS, BUSY):
            for staff_id, start, end, *_ in connection.execute(query, [tenant_id, ends, begins]):
                taken[staff_id].append((start, end))
        windows = defaultdict(list)
        for staff_id, opens, closes in hours:
            windows[staff_id].append(
                tuple(
                    datetime.combine(day, at, tzinfo=ZONE).astimezone(UTC) for at in (opens, closes)
                )
            )
        for staff_id in people:
            for opens, closes in windows[staff_id]:
                start = opens
                while start + duration <= closes:
                    end = start + duration
                    if not any(start < until and end > since for since, until in taken[staff_id]):
                        free.append((staff_id, start, end))
                    start += STEP
    return free
