"""What tests of rules that depend on other appointments share: a second place with a way to it, and
asking whether what is listed is what can be reserved."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from tests.api import Answer
from tests.api.asking import listed as listed_by_the_api
from tests.booking.booked import ADA, OTHER_SESSION, SESSION, Booking, call, rows
from tests.booking.conftest import TUESDAY
from tests.salon import Salon


def add_place(salon: Salon, name: str, start: str = "09:00", end: str = "17:00") -> UUID:
    """Another place, where the salon's person works every day, too."""
    place = salon.insert("locations", name=name)
    add_hours(salon, place, start, end)
    return place


def add_hours(salon: Salon, place: UUID, start: str, end: str) -> None:
    """The salon's person works at a place every day."""
    salon.db.execute(
        "insert into booking.working_hours"
        " (tenant_id, staff_id, location_id, weekday, start_time, end_time)"
        " select %s, %s, %s, weekday, %s, %s from generate_series(1, 7) as weekday",
        (salon.tenant, salon.person, place, start, end),
    )


def add_travel(salon: Salon, here: UUID, there: UUID, minutes: int) -> UUID:
    """It takes so long from here to there."""
    return salon.insert(
        "travel_times", from_location_id=here, to_location_id=there, minutes=minutes
    )


def move(salon: Salon, booking: Booking, slot: UUID, **arguments: Any) -> Answer:
    """Ada, whose booking it is, moves it, or is refused; all is exact afterwards."""
    answer = call(
        salon,
        "reschedule_appointment",
        ADA,
        appointment_id=booking.appointment,
        slot_id=slot,
        **arguments,
    )
    assert salon.differences() == []
    return answer


def starts(
    salon: Salon, place: UUID | None = None, code: str = "cut", day: date = TUESDAY
) -> list[str]:
    """The local starts that anybody is shown of a service at a place; all is exact meanwhile."""
    assert salon.differences() == []
    slots = listed_by_the_api(
        salon, day, location_id=place or salon.location, appointment_type=code
    )
    return [
        row["start"]
        for row in rows(
            salon,
            "select to_char(u.start at time zone 'Europe/Berlin', 'HH24:MI') as start"
            " from unnest(%s::timestamptz[]) as u(start) order by u.start",
            [slot["start_time"] for slot in slots if slot["staff_id"] == str(salon.person)],
        )
    ]


def taken(
    salon: Salon, place: UUID | None = None, code: str = "cut", day: date = TUESDAY
) -> list[str]:
    """The local starts of a service at a place that are published and that nobody is shown."""
    shown = starts(salon, place, code, day)
    return [
        row["start"]
        for row in rows(
            salon,
            "select to_char(s.start_time at time zone 'Europe/Berlin', 'HH24:MI') as start"
            " from booking.availability_slots s"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s and s.staff_id = %s and s.location_id = %s and t.code = %s"
            " and (s.start_time at time zone 'Europe/Berlin')::date = %s order by s.start_time",
            *(salon.tenant, salon.person, place or salon.location, code, day),
        )
        if row["start"] not in shown
    ]


def assert_listed_is_what_can_be_reserved(
    salon: Salon, first: date = TUESDAY, last: date | None = None
) -> None:
    """Reserves each published slot of these days for a session that holds nothing, and takes it
    back: those that are listed are had, the others are not."""
    assert salon.differences() == []
    shown = {slot["id"] for slot in listed_by_the_api(salon, first, last)}
    published = rows(
        salon,
        "select s.id::text, s.location_id, s.start_time from booking.availability_slots s"
        " join booking.locations l on l.tenant_id = s.tenant_id and l.id = s.location_id"
        " where s.tenant_id = %s and (s.start_time at time zone"
        " coalesce(l.timezone, 'Europe/Berlin'))::date between %s and %s",
        *(salon.tenant, first, last or first),
    )
    assert shown <= {slot["id"] for slot in published}
    wrong = []
    for slot in published:
        with salon.db.transaction(force_rollback=True):
            answer = call(
                salon, "reserve_slot", slot_id=slot["id"], session_id="session-of-eve-0123456789"
            )
        assert answer.code in (None, "slot_taken")
        if answer.success != (slot["id"] in shown):
            wrong.append((slot, answer))
    assert wrong == []


def ask_to_reserve(salon: Salon, slot: UUID, session_id: str = OTHER_SESSION) -> str | None:
    """What becomes of it: a code, or None for a hold. All is exact afterwards."""
    answer = call(salon, "reserve_slot", slot_id=slot, session_id=session_id)
    assert salon.differences() == []
    return answer.code


def release(salon: Salon, slot: UUID, session_id: str = SESSION) -> None:
    """A session gives up what it holds."""
    answer = call(salon, "release_slot", slot_id=slot, session_id=session_id)
    assert answer.success, answer
    assert salon.differences() == []
