"""Exports: a person's appointments as an iCalendar file that other calendars subscribe to.

What has not changed is written alike each time: DTSTAMP is when the appointment last changed, which
RFC 5545 has it be where a file has no METHOD.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg

from pgbooking.calendar_events import need_libraries
from pgbooking.calendar_window import calendar_window
from pgbooking.rows import fetch
from pgbooking.tenants import chosen_staff, chosen_tenants

PRODUCT = "-//pgbooking//pgbooking//EN"
CUSTOMER = ("name", "email", "phone")


@dataclass(frozen=True)
class _Event:
    """An appointment or a busy time."""

    id: UUID
    start_time: datetime
    end_time: datetime
    status: str
    service: str
    location: str | None
    created_at: datetime
    updated_at: datetime
    customer: dict[str, Any]
    notes: str | None

    @property
    def about(self) -> str:
        """Who comes, and what is noted of it."""
        lines = [str(self.customer[key]) for key in CUSTOMER if self.customer.get(key)]
        return "\n".join([*lines, self.notes or ""]).strip()


def export(
    connection: psycopg.Connection,
    tenant: str,
    staff: str,
    first_date: date | None,
    last_date: date | None,
    *,
    with_customers: bool = False,
    with_busy_times: bool = False,
) -> bytes:
    """The calendar of a person: live appointments, and perhaps busy times, in UTC.

    Dates are inclusive, those of the person's place; by default from today to the horizon. Says who
    comes only if asked to.
    """
    need_libraries()
    import icalendar

    tenants = chosen_tenants(connection, tenant)
    person = chosen_staff(connection, tenants, staff)
    window = calendar_window(
        connection, tenants[0].id, (first_date, last_date), staff_id=person.id, days_back=0
    )
    parameters = {
        "tenant_id": tenants[0].id,
        "staff_id": person.id,
        "window_start": window.start_time,
        "window_end": window.end_time,
    }
    events = fetch(connection, "export_appointments", _Event, **parameters)
    if with_busy_times:
        events += fetch(connection, "export_busy_times", _Event, **parameters)
    calendar = icalendar.Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", _printable(person.display_name))
    for each in events:
        event = icalendar.Event()
        event.add("uid", f"{each.id}@pgbooking")
        event.add("dtstamp", each.updated_at)
        event.add("created", each.created_at)
        event.add("last-modified", each.updated_at)
        event.add("dtstart", each.start_time)
        event.add("dtend", each.end_time)
        event.add("summary", _printable(each.service))
        event.add("status", "TENTATIVE" if each.status == "pending" else "CONFIRMED")
        if each.location:
            event.add("location", _printable(each.location))
        if with_customers and each.about:
            event.add("description", _printable(each.about))
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written


def _printable(text: str) -> str:
    """The text without control characters, which iCalendar does not allow, but for new lines."""
    return "".join(each for each in text if each == "\n" or each.isprintable())
