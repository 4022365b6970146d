"""Random calendars: small, crowded, and looked at where calendars go wrong.

Everything is drawn by Hypothesis, so that a failing calendar shrinks to the rows that matter.
Hours, appointments and the like are drawn near each other and near the dates that are asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import combinations
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from pgbooking.reference_calendar import (
    Appointment,
    AppointmentType,
    Assignment,
    Break,
    BusyTime,
    Calendar,
    Hold,
    Location,
    Period,
    ScheduleException,
    SlotShape,
    StaffMember,
    Tenant,
    TravelTime,
    WorkingHours,
)
from tests.calculator.calendars import MINUTE, TENANT, MadeUpCalendar, an_id

T = TypeVar("T")

DAY = timedelta(days=1)

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Havana",  # changes at midnight, so that a date begins late or twice
    "Asia/Kathmandu",  # is 5:45 ahead
    "Pacific/Chatham",  # is 12:45 ahead
    "America/Sao_Paulo",  # changed at midnight until 2019
    "Africa/Casablanca",  # changes around Ramadan
    "Asia/Beirut",  # changes at midnight
    "Antarctica/Troll",  # changes by two hours
    "Pacific/Apia",  # left out 2011-12-30
    "UTC",
)
YEARS = (2011, 2018, 2019, 2025)

# The plainest come first: that is what Hypothesis tries first, and what failures shrink to.
ORDINARY_TIMES = (540, 480, 600, 660, 720, 780, 900, 1020, 1080, 1200, 547, 833)
NIGHT_TIMES = (0, 30, 60, 90, 120, 135, 150, 165, 180, 210, 240, 300, 1320, 1380, 1410, 1425)
TIMES_OF_CHANGE = (120, 0, 30, 60, 90, 135, 150, 165, 180)
TIMES = (*ORDINARY_TIMES, *NIGHT_TIMES)
DURATIONS = (60, 30, 45, 90, 15, 10, 20, 25, 50, 120, 240, 600, 1440)
STEPS = (60, 30, 45, 90, 60, 30, 15, 20, 25, 240, 1440, 7)
BUFFERS = (0, 0, 0, 5, 10, 30, 60, 90)
PLACES = (1, 2, 2, 1, 2, 2, 3)
TRAVEL = (30, 15, 45, 60, 90, 120, 10, 0, 37)


@st.composite
def made_up_calendars(draw: st.DrawFn, alignment: str) -> MadeUpCalendar:
    """Calendars of one tenant with that alignment, one or two people, one to three places."""
    change = draw(st.sampled_from(("forward", "back", None)))
    zone = draw(st.sampled_from(_zones_with(change)))
    if change is None:
        first_date = date(2025, 1, 1) + DAY * draw(st.integers(0, 600))
    else:
        first_date = draw(st.sampled_from(_clock_changes(zone)[change]))
        first_date -= DAY * draw(st.integers(0, 2))
    return _Maker(draw, alignment, zone, first_date).made_up_calendar()


class _Maker:
    """Draws the parts of one calendar, each beside those that were drawn before it."""

    def __init__(self, draw: st.DrawFn, alignment: str, zone: str, first_date: date) -> None:
        self.draw = draw
        self.from_date = first_date
        self.to_date = first_date + DAY * self.number(1, 3)
        self.tenant = Tenant(
            TENANT, zone, not self.one_in(40), alignment, booking_horizon_days=self.number(1, 5)
        )
        self.locations = tuple(self.location(number) for number in range(self.one_of(PLACES)))
        self.staff = tuple(
            StaffMember(
                an_id(2, number),
                not self.one_in(40),
                max_appointments_per_day=self.one_of((None, None, None, 1, 2, 3)),
                compact_schedule=self.one_in(4),
            )
            for number in range(self.number(1, 2))
        )
        self.shapes: list[SlotShape] = []
        self.types = tuple(self.appointment_type(number) for number in range(self.number(1, 3)))
        self.assignments = tuple(
            Assignment(person.id, row.id)
            for person in self.staff
            for row in self.types
            if not self.one_in(8)
        )
        self.hours = self.working_hours()

    def made_up_calendar(self) -> MadeUpCalendar:
        appointments = self.appointments()
        calendar = Calendar(
            tenant=self.tenant,
            locations=self.locations,
            staff=self.staff,
            appointment_types=tuple(self.shrunk_class(row) for row in self.types),
            slot_shapes=tuple(self.shapes),
            assignments=self.assignments,
            working_hours=self.hours,
            breaks=self.up_to(2, self.pause),
            schedule_exceptions=self.up_to(2, self.schedule_exception),
            busy_times=self.up_to(3, self.busy_time),
            appointments=appointments,
            holds=self.holds(appointments),
            travel_times=self.travel_times(),
        )
        zone = ZoneInfo(self.tenant.timezone)
        today = self.from_date + DAY * self.number(0, 1)
        return MadeUpCalendar(
            calendar,
            now=_midnight(today, zone) + self.number(0, 1439) * MINUTE,
            from_date=self.from_date,
            to_date=self.to_date,
            precompute_days=self.number(0, 4),
        )

    # Draws

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def one_in(self, cases: int) -> bool:
        return self.draw(st.integers(1, cases)) == cases

    def one_of(self, choices: tuple[T, ...]) -> T:
        return self.draw(st.sampled_from(choices))

    def up_to(self, most: int, make: Callable[[], T]) -> tuple[T, ...]:
        return tuple(make() for _ in range(self.number(0, most)))

    def day(self) -> date:
        if self.one_in(5):
            return self.one_of((self.from_date - DAY, self.to_date + DAY))
        return self.from_date + DAY * self.number(0, (self.to_date - self.from_date).days)

    def person(self) -> UUID:
        return self.one_of(self.staff).id

    def place(self) -> UUID:
        return self.one_of(self.locations).id

    def anyone(self) -> UUID | None:
        return None if self.one_in(3) else self.person()

    def anywhere(self) -> UUID | None:
        return None if self.one_in(3) else self.place()

    def minutes_of_day(self) -> tuple[int, int]:
        start = self.one_of(TIMES_OF_CHANGE if self.one_in(3) else TIMES)
        if self.one_in(6):
            return start, start
        if self.one_in(6):
            return start, 1440
        if self.one_in(3):
            return start, self.one_of(TIMES)
        return start, (start + self.one_of((20, 45, 75, 120, 240, 333, 480, 540))) % 1440

    def season(self) -> tuple[date | None, date | None]:
        if not self.one_in(4):
            return None, None
        first = self.day()
        return self.one_of(((first, None), (None, first), (first, first + DAY)))

    def spot(self) -> tuple[UUID, UUID, datetime]:
        """Somebody, somewhere, some steps after their hours begin or before they end, or beside."""
        step = self.one_of(tuple(self.shapes)).step_minutes
        if not self.hours or self.one_in(5):
            person, place, day = self.person(), self.place(), self.day()
            minute = self.one_of(TIMES) + step * self.number(0, 9)
        else:
            row = self.one_of(self.hours)
            person, place = row.staff_id, row.location_id
            days = [
                day
                for day in _days(self.from_date - DAY, self.to_date)
                if day.isoweekday() == row.weekday
            ]
            day = self.one_of(tuple(days) or (self.from_date,))
            if self.one_in(4):
                overnight = 1440 if row.end_minute <= row.start_minute else 0
                minute = row.end_minute + overnight - step * self.number(0, 3)
            else:
                minute = row.start_minute + step * self.number(0, 9)
        zone = next(row.timezone for row in self.locations if row.id == place)
        start = _midnight(day, ZoneInfo(zone or self.tenant.timezone)) + minute * MINUTE
        if self.one_in(5):
            start += timedelta(seconds=self.number(-400, 400))
        return person, place, start

    def spot_elsewhere(self, row: Appointment) -> tuple[UUID, UUID, datetime]:
        """The same person at another place, soon after the appointment or some time before it."""
        places = tuple(place.id for place in self.locations if place.id != row.location_id)
        minutes = self.one_of((0, 30, 60, 15, 90, 120, 240)) * MINUTE
        start = row.claim_start - minutes if self.one_in(2) else row.claim_end + minutes
        return row.staff_id, self.one_of(places), start

    # Rows

    def location(self, number: int) -> Location:
        timezone = self.one_of((None, None, self.tenant.timezone, self.one_of(ZONES)))
        return Location(an_id(1, number), timezone, not self.one_in(30))

    def travel_times(self) -> tuple[TravelTime, ...]:
        """Between two places a row for both ways, for each way, for one of them, or none."""
        rows = []
        for here, there in combinations([row.id for row in self.locations], 2):
            for start, end in self.one_of(
                (
                    ((here, there),),
                    ((there, here),),
                    ((here, there), (there, here)),
                    ((here, there), (there, here)),
                    (),
                )
            ):
                rows.append(TravelTime(start, end, self.one_of(TRAVEL)))
        return tuple(rows)

    def appointment_type(self, number: int) -> AppointmentType:
        type_id = an_id(3, number)
        capacity = self.one_of((1, 1, 2, 3, 3))
        shape = SlotShape(
            id=an_id(4, number),
            duration_minutes=self.one_of(DURATIONS),
            buffer_before_minutes=self.one_of(BUFFERS),
            buffer_after_minutes=self.one_of(BUFFERS),
            step_minutes=self.one_of(STEPS),
            min_notice_minutes=self.one_of((0, 0, 45, 1440)),
            max_advance_days=self.one_of((None, None, 0, 1, 3)),
            group_type_id=type_id if capacity > 1 else None,
        )
        singles = [row for row in self.shapes if row.group_type_id is None]
        if capacity == 1 and singles and self.one_in(5):
            shape = replace(singles[0], id=shape.id)
        known = next((row for row in self.shapes if replace(row, id=shape.id) == shape), None)
        if known is None:
            self.shapes.append(shape)
        return AppointmentType(type_id, (known or shape).id, capacity, not self.one_in(12))

    def shrunk_class(self, row: AppointmentType) -> AppointmentType:
        """Some classes have become smaller since their seats were taken."""
        if row.capacity == 3 and self.one_in(4):
            return replace(row, capacity=2)
        return row

    def working_hours(self) -> tuple[WorkingHours, ...]:
        rows: list[WorkingHours] = []
        for person in self.staff:
            for location in self.locations:
                pattern = self.one_of(("days", "days", "days", "days", "round the clock", "none"))
                if pattern == "round the clock":
                    start, end = self.one_of(((0, 0), (0, 1440), (480, 480)))
                    rows += [
                        WorkingHours(person.id, location.id, weekday, start, end, None, None)
                        for weekday in range(1, 8)
                    ]
                elif pattern == "days":
                    rows += [
                        WorkingHours(
                            person.id,
                            location.id,
                            self.day().isoweekday(),
                            *self.minutes_of_day(),
                            *self.season(),
                        )
                        for _ in range(self.number(1, 4))
                    ]
        return tuple(rows)

    def pause(self) -> Break:
        return Break(
            self.anyone(),
            self.anywhere(),
            None if self.one_in(2) else self.day().isoweekday(),
            *self.short_minutes_of_day(),
            *self.season(),
        )

    def short_minutes_of_day(self) -> tuple[int, int]:
        start = self.one_of(TIMES_OF_CHANGE if self.one_in(2) else TIMES)
        return start, (start + self.one_of((5, 15, 30, 45, 60, 61, 90))) % 1440

    def schedule_exception(self) -> ScheduleException:
        kind = self.one_of(("open", "closed"))
        first_date = self.day()
        minutes: tuple[int, int] | tuple[None, None] = (None, None)
        if not self.one_in(4):
            minutes = self.minutes_of_day() if kind == "open" else self.short_minutes_of_day()
        return ScheduleException(
            self.anyone(),
            self.anywhere(),
            first_date,
            first_date + DAY * self.one_of((0, 0, 1, 3)),
            kind,
            *minutes,
        )

    def busy_time(self) -> BusyTime:
        person, _, moment = self.spot()
        length = timedelta(seconds=self.one_of((1, 60, 600, 1500, 1817, 3600, 5400, 86400, 180000)))
        start = moment - length if self.one_in(2) else moment
        return BusyTime(person, start, start + length)

    def appointments(self) -> tuple[Appointment, ...]:
        rows: list[Appointment] = []
        for number in range(self.number(0, 6)):
            row = self.appointment(an_id(5, number), rows)
            if not _may_stand_beside(row, rows, self.seats(row)):
                row = replace(row, status="cancelled")
            rows.append(row)
        return tuple(rows)

    def appointment(self, appointment_id: UUID, others: list[Appointment]) -> Appointment:
        status = self.one_of(("confirmed", "confirmed", "pending", "no_show", "cancelled"))
        if others and self.one_in(2):
            # Another guest of the same class, or something at the same time.
            return replace(self.one_of(tuple(others)), id=appointment_id, status=status)
        person, place, start = self.spot()
        if others and len(self.locations) > 1 and self.one_in(2):
            person, place, start = self.spot_elsewhere(self.one_of(tuple(others)))
        if self.one_in(4):
            length = timedelta(seconds=self.one_of((900, 1800, 2700, 3601, 7200)))
            start -= length * self.number(0, 1)
            claim_start = start - self.one_of((0, 0, 10)) * MINUTE
            end = start + length
            return Appointment(
                appointment_id, person, place, None, None, start, end, claim_start, end, status
            )
        classes = [shape for shape in self.shapes if shape.group_type_id is not None]
        shape = self.one_of(tuple(classes if classes and self.one_in(2) else self.shapes))
        end = start + shape.duration_minutes * MINUTE
        return Appointment(
            appointment_id,
            person,
            place,
            shape.id,
            an_id(6),
            start,
            end,
            *_claim(shape, start),
            status,
        )

    def seats(self, row: Appointment) -> int:
        return next((known.capacity for known in self.types if known.shape_id == row.shape_id), 1)

    def holds(self, appointments: tuple[Appointment, ...]) -> tuple[Hold, ...]:
        """Holds overlap neither each other nor appointments, other than on one slot of a class."""
        taken = list(appointments)
        holds: list[Hold] = []
        for number in range(self.number(0, 3)):
            wanted = self.one_of((*taken, None)) if taken and self.one_in(2) else None
            row = (
                self.appointment(an_id(7, number), taken)
                if wanted is None
                else replace(wanted, id=an_id(7, number))
            )
            row = replace(row, status="held")
            session = self.one_of((b"A", b"B", b"C")) * 32
            if (
                row.shape_id is None
                or not _may_stand_beside(row, taken, self.seats(row))
                or any(hold.slot == row.slot and hold.session_hash == session for hold in holds)
            ):
                continue
            taken.append(row)
            holds.append(
                Hold(
                    row.staff_id,
                    row.location_id,
                    row.shape_id,
                    row.start_time,
                    row.claim_start,
                    row.claim_end,
                    session,
                    datetime.combine(self.from_date, time(), UTC) + self.number(0, 4000) * MINUTE,
                )
            )
        return tuple(holds)


def _claim(shape: SlotShape, start: datetime) -> Period:
    return Period(
        start - shape.buffer_before_minutes * MINUTE,
        start + (shape.duration_minutes + shape.buffer_after_minutes) * MINUTE,
    )


def _may_stand_beside(row: Appointment, others: list[Appointment], seats: int) -> bool:
    """Whether the constraints allow the row: no overlap, but for seats of one slot."""
    if not row.is_live:
        return True
    live = [other for other in others if other.is_live and other.staff_id == row.staff_id]
    same_slot = [other for other in live if row.slot is not None and other.slot == row.slot]
    return len(same_slot) < seats and not any(
        other.claim.overlaps(row.claim) for other in live if other not in same_slot
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _days(first: date, last: date) -> list[date]:
    return [first + DAY * number for number in range((last - first).days + 1)]


# Clock changes


@cache
def _clock_changes(zone: str) -> dict[str, tuple[date, ...]]:
    """The local dates on or before whose end the zone's clocks go forward or back."""
    changes: dict[str, list[date]] = {"forward": [], "back": []}
    for year in YEARS:
        for day in _days(date(year, 1, 1), date(year, 12, 31)):
            before, after = (
                datetime.combine(moment, time(), ZoneInfo(zone)).utcoffset() or timedelta()
                for moment in (day, day + DAY)
            )
            if before != after:
                changes["forward" if after > before else "back"].append(day)
    return {direction: tuple(days) for direction, days in changes.items()}


@cache
def _zones_with(change: str | None) -> tuple[str, ...]:
    return tuple(zone for zone in ZONES if change is None or _clock_changes(zone)[change])


def is_next_to_a_clock_change(made_up: MadeUpCalendar) -> bool:
    """Whether clocks change at a place on a date asked for, or on the one before or after."""
    near = set(_days(made_up.from_date - DAY, made_up.to_date + DAY))
    return any(
        near.intersection(days)
        for location in made_up.calendar.locations
        for days in _clock_changes(made_up.calendar.zone(location).key).values()
    )
