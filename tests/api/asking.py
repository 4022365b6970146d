"""What tests of reading share: asking as clients do, and the public view to compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.api import ANON, Answer, Api, Caller
from tests.booking.booked import rows
from tests.salon import Salon

Slot = dict[str, Any]
Time = dict[str, Any]

BERLIN = ZoneInfo("Europe/Berlin")
DAY = "2026-03-03"


def ask(
    salon: Salon,
    function: str,
    caller: Caller = ANON,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Answer:
    """Read from the API in the salon's own session."""
    return Api(salon.db).call(function, caller, method=method, headers=headers, **arguments)


def listed(
    salon: Salon,
    first: object = DAY,
    last: object = None,
    caller: Caller = ANON,
    *,
    method: str = "GET",
    **filters: Any,
) -> list[Slot]:
    """All slots from the first to the last date, however many pages they take."""
    slots: list[Slot] = []
    more: dict[str, Any] = {}
    while True:
        arguments: dict[str, Any] = {
            "tenant_id": salon.tenant,
            "start_date": first,
            "end_date": last or first,
            **filters,
            **more,
        }
        answer = ask(salon, "get_available_slots", caller, method=method, **arguments)
        assert answer.success, answer
        slots += answer.body["slots"]
        if "next_page_token" not in answer.body:
            return slots
        more = {"page_token": answer.body["next_page_token"]}


def next_available(salon: Salon, **arguments: Any) -> list[Slot]:
    """What get_next_available answers."""
    answer = ask(salon, "get_next_available", **({"tenant_id": salon.tenant} | arguments))
    assert answer.success, answer
    assert answer.body.keys() == {"success", "slots"}
    slots = answer.body["slots"]
    assert isinstance(slots, list)
    return slots


def times(
    salon: Salon, first: object = DAY, last: object = None, code: str = "cut", **more: Any
) -> list[Time]:
    """What get_available_times answers."""
    method = more.pop("method", "GET")
    answer = ask(
        salon,
        "get_available_times",
        method=method,
        tenant_id=salon.tenant,
        start_date=first,
        end_date=last or first,
        appointment_type=code,
        **more,
    )
    assert answer.success, answer
    assert answer.body.keys() == {"success", "times"}
    found = answer.body["times"]
    assert isinstance(found, list)
    return found


def grouped(slots: list[Slot]) -> list[Time]:
    """The slots of a listing, by start and place, as answers tell them."""
    groups: dict[tuple[str, str], list[Slot]] = defaultdict(list)
    for slot in slots:
        groups[slot["start_time"], slot["location_id"]].append(slot)
    return [
        {
            "start_time": start,
            "end_time": group[0]["end_time"],
            "duration_minutes": group[0]["duration_minutes"],
            "location_id": place,
            "free_staff": len({slot["staff_id"] for slot in group}),
            "lowest_price_cents": min(slot["price_cents"] for slot in group),
            "highest_price_cents": max(slot["price_cents"] for slot in group),
            "currency": group[0]["currency"],
        }
        for (start, place), group in sorted(groups.items())
    ]


def public(salon: Salon) -> list[Slot]:
    """The rows of api.availability_slots as anybody reads them, written and sorted as answers."""
    with salon.db.transaction(force_rollback=True):
        salon.db.execute("set local role anon")
        found = rows(
            salon,
            "select * from api.availability_slots where tenant_id = %s order by start_time, id",
            salon.tenant,
        )
    return [
        {
            "id": str(row["id"]),
            "staff_id": str(row["staff_id"]),
            "start_time": iso(row["start_time"]),
            "end_time": iso(row["end_time"]),
            "duration_minutes": row["duration_minutes"],
            "location_id": str(row["location_id"]),
            "seats_left": row["seats_left"],
        }
        for row in found
    ]


def iso(instant: datetime) -> str:
    """An instant as answers write it."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def local_date(slot: Slot, zone: ZoneInfo = BERLIN) -> date:
    """The date on which a slot begins at its place."""
    return datetime.fromisoformat(slot["start_time"]).astimezone(zone).date()


def starts(slots: Iterable[Slot], zone: ZoneInfo = BERLIN) -> list[str]:
    """Local starts."""
    return [
        f"{datetime.fromisoformat(slot['start_time']).astimezone(zone):%H:%M}" for slot in slots
    ]


def ids(slots: Iterable[Slot]) -> list[str]:
    """The ids of slots."""
    return [slot["id"] for slot in slots]


def work_hours(
    salon: Salon, person: UUID, location: UUID, first: str, last: str, weekday: int | None = None
) -> None:
    """Working hours on every day, or on one weekday."""
    for day in [weekday] if weekday else range(1, 8):
        salon.insert(
            "working_hours",
            staff_id=person,
            location_id=location,
            weekday=day,
            start_time=first,
            end_time=last,
        )
