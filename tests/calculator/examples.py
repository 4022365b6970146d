"""A small language for calendars that a reader can check by hand.

Everything not said is the simplest: Anna works at home, which is in UTC, and gives one service. All
moments are written in UTC ("2025-01-06 09:00", a Monday), hours and dates in local time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from pgbooking.reference import GridSlot, PublishedSlot
from pgbooking.reference_calendar import (
    Appointment,
    AppointmentType,
    Assignment,
    Break,
    BusyTime,
    Calendar,
    Hold,
    Location,
    ScheduleException,
    SlotShape,
    StaffMember,
    Tenant,
    TravelTime,
    WorkingHours,
)
from tests.calculator.calendars import MINUTE, TENANT, MadeUpCalendar, an_id

HOME, AWAY = an_id(1, 1), an_id(1, 2)
ANNA, BEN = an_id(2, 1), an_id(2, 2)

WEEKDAYS = {"Mon": 1, "Tue": 2, "Wed": 3, "Thu": 4, "Fri": 5, "Sat": 6, "Sun": 7}
EVERY_DAY = "Mon Tue Wed Thu Fri Sat Sun"


@dataclass(frozen=True)
class Service:
    """An appointment type with a shape of its own; `seats` above 1 make it a class."""

    minutes: int
    step: int | None = None
    before: int = 0
    after: int = 0
    seats: int = 1
    notice: int = 0
    advance_days: int | None = None
    is_active: bool = True
    offered_by: tuple[UUID, ...] = (ANNA, BEN)


def _minutes(times: str) -> tuple[int, int]:
    start, end = (
        int(hour) * 60 + int(minute)
        for hour, minute in (time.split(":") for time in times.split("-"))
    )
    return start, end


def _dates(dates: str) -> tuple[date, date]:
    first, _, last = dates.partition("..")
    return date.fromisoformat(first), date.fromisoformat(last or first)


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def type_id(service: int) -> UUID:
    return an_id(3, service)


def shape_id(service: int) -> UUID:
    """Services are numbered from 0, in the order in which an example lists them."""
    return an_id(4, service)


def hours(
    weekdays: str,
    times: str,
    staff: UUID = ANNA,
    at: UUID = HOME,
    valid_from: str | None = None,
    valid_until: str | None = None,
) -> tuple[WorkingHours, ...]:
    """`hours("Mon Tue", "09:00-17:00")`"""
    return tuple(
        WorkingHours(
            staff, at, WEEKDAYS[day], *_minutes(times), _date(valid_from), _date(valid_until)
        )
        for day in weekdays.split()
    )


def pause(
    times: str,
    weekday: str | None = None,
    staff: UUID | None = ANNA,
    at: UUID | None = HOME,
    valid_from: str | None = None,
    valid_until: str | None = None,
) -> Break:
    return Break(
        staff,
        at,
        None if weekday is None else WEEKDAYS[weekday],
        *_minutes(times),
        _date(valid_from),
        _date(valid_until),
    )


def closed(
    dates: str, times: str | None = None, staff: UUID | None = ANNA, at: UUID | None = HOME
) -> ScheduleException:
    """`closed("2025-01-06..2025-01-08", "12:00-13:00")`; no times are the whole day."""
    first, last = _dates(dates)
    start, end = (None, None) if times is None else _minutes(times)
    return ScheduleException(staff, at, first, last, "closed", start, end)


def opened(
    dates: str, times: str | None = None, staff: UUID | None = ANNA, at: UUID | None = HOME
) -> ScheduleException:
    return replace(closed(dates, times, staff, at), kind="open")


def busy(start: str, end: str, staff: UUID = ANNA) -> BusyTime:
    return BusyTime(staff, moment(start), moment(end))


def travel(minutes: int, start: UUID = HOME, end: UUID = AWAY) -> TravelTime:
    """`travel(30)` from home to the other place, `travel(30, AWAY, HOME)` from there."""
    return TravelTime(start, end, minutes)


@dataclass(frozen=True)
class Booked:
    """A live appointment: of a slot of that service, or by hand from start to end."""

    start: str
    end: str | None = None
    service: int | None = None
    staff: UUID = ANNA
    at: UUID = HOME
    status: str = "confirmed"


@dataclass(frozen=True)
class Held:
    start: str
    expires: str
    service: int = 0
    session: str = "A"
    staff: UUID = ANNA
    at: UUID = HOME


@dataclass(frozen=True)
class Example:
    """A calendar and the starts it must give to one person for one service at one place.

    `starts` reads "2025-01-06 09:00 10:00x 11:00o | 2025-01-07 09:00": x marks what exists but is
    taken, o what is free but not offered, because of the day's limit or a compact schedule.
    `dates` are the local dates asked for. `most_per_day` and `compact` are Anna's.
    """

    sentence: str
    starts: str
    hours: tuple[WorkingHours, ...] = hours("Mon", "09:00-12:00")
    services: tuple[Service, ...] = (Service(60),)
    alignment: str = "window"
    zone: str = "UTC"
    away_zone: str | None = None
    breaks: tuple[Break, ...] = ()
    exceptions: tuple[ScheduleException, ...] = ()
    busy: tuple[BusyTime, ...] = ()
    booked: tuple[Booked, ...] = ()
    held: tuple[Held, ...] = ()
    travel: tuple[TravelTime, ...] = ()
    most_per_day: int | None = None
    compact: bool = False
    dates: str = "2025-01-06"
    now: str = "2025-01-06 00:00"
    horizon_days: int = 60
    inactive: tuple[UUID | str, ...] = ()
    of: UUID = ANNA
    at: UUID = HOME
    service: int = 0

    def made_up(self) -> MadeUpCalendar:
        shapes = tuple(
            SlotShape(
                shape_id(number),
                service.minutes,
                service.before,
                service.after,
                service.step or service.minutes,
                service.notice,
                service.advance_days,
                type_id(number) if service.seats > 1 else None,
            )
            for number, service in enumerate(self.services)
        )
        calendar = Calendar(
            tenant=Tenant(
                TENANT, self.zone, "tenant" not in self.inactive, self.alignment, self.horizon_days
            ),
            locations=(
                Location(HOME, None, HOME not in self.inactive),
                Location(AWAY, self.away_zone, AWAY not in self.inactive),
            ),
            staff=(
                StaffMember(ANNA, ANNA not in self.inactive, self.most_per_day, self.compact),
                StaffMember(BEN, BEN not in self.inactive, None, False),
            ),
            appointment_types=tuple(
                AppointmentType(type_id(number), shape_id(number), service.seats, service.is_active)
                for number, service in enumerate(self.services)
            ),
            slot_shapes=shapes,
            assignments=tuple(
                Assignment(person, type_id(number))
                for number, service in enumerate(self.services)
                for person in service.offered_by
            ),
            working_hours=self.hours,
            breaks=self.breaks,
            schedule_exceptions=self.exceptions,
            busy_times=self.busy,
            appointments=tuple(
                _appointment(an_id(5, number), row, shapes)
                for number, row in enumerate(self.booked)
            ),
            holds=tuple(_hold(row, shapes) for row in self.held),
            travel_times=self.travel,
        )
        first, last = _dates(self.dates)
        return MadeUpCalendar(calendar, moment(self.now), first, last)


def written(slots: Iterable[GridSlot | PublishedSlot]) -> str:
    """Starts and whether they can be had, in the notation of `Example.starts`."""
    days: dict[str, list[str]] = {}
    for slot in sorted(slots, key=lambda slot: slot.start_time):
        time = f"{slot.start_time:%H:%M:%S}".removesuffix(":00")
        days.setdefault(f"{slot.start_time:%Y-%m-%d}", []).append(time + _mark(slot))
    return " | ".join(" ".join([day, *times]) for day, times in days.items())


def _mark(slot: GridSlot | PublishedSlot) -> str:
    if slot.is_available:
        return ""
    return "o" if isinstance(slot, GridSlot) and slot.is_free else "x"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _appointment(appointment_id: UUID, row: Booked, shapes: tuple[SlotShape, ...]) -> Appointment:
    start = moment(row.start)
    if row.service is None:
        end = moment(row.end) if row.end else start + timedelta(hours=1)
        return Appointment(
            appointment_id, row.staff, row.at, None, None, start, end, start, end, row.status
        )
    shape = shapes[row.service]
    return Appointment(
        appointment_id,
        row.staff,
        row.at,
        shape.id,
        an_id(6),
        start,
        start + shape.duration_minutes * MINUTE,
        start - shape.buffer_before_minutes * MINUTE,
        start + (shape.duration_minutes + shape.buffer_after_minutes) * MINUTE,
        row.status,
    )


def _hold(row: Held, shapes: tuple[SlotShape, ...]) -> Hold:
    shape = shapes[row.service]
    start = moment(row.start)
    return Hold(
        row.staff,
        row.at,
        shape.id,
        start,
        start - shape.buffer_before_minutes * MINUTE,
        start + (shape.duration_minutes + shape.buffer_after_minutes) * MINUTE,
        row.session.encode() * 32,
        moment(row.expires),
    )
