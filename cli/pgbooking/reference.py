"""The independent calculator: what can be booked, worked out minute by minute in plain Python.

A second opinion. It was written from the rules of the design (§4), shares neither code nor SQL with
`booking.calculate_slots`, and prefers the obvious to the fast: time zones come from `zoneinfo`,
working time is a row of minutes that are painted and cut. `pgbooking verify --independent` and the
property tests hold the two calculators against each other.

`load_calendar` reads a tenant's tables, `calculate_slots` says which slots the rules give, and
`published_slots` what `booking.availability_slots` must hold.

Every datetime here is aware and in UTC; dates are local dates of a location; a minute of the day is
counted on the wall clock from local midnight. Hours, breaks and exceptions are whole minutes and
zones are offset by whole minutes (all are since 1972), so working time is a set of whole minutes of
UTC. Claims, busy times and the starts they lead to may lie at any second and are compared exactly.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pgbooking.reference_calendar import (
    MARGIN,
    Break,
    Calendar,
    Hold,
    Location,
    Period,
    ScheduleException,
    SlotName,
    SlotShape,
    WorkingHours,
    load_calendar,
)

__all__ = [
    "Calendar",
    "GridSlot",
    "Period",
    "PublishedSlot",
    "calculate_slots",
    "load_calendar",
    "published_slots",
]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# A window ends at the latest 48 hours after the midnight its date began with, so that far on either
# side working time matters to a slot; cuts reach into those windows from as far again.
WINDOW_MARGIN = timedelta(days=3)
CUT_MARGIN = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class GridSlot:
    """One slot that rules 1 to 3 give; `booked` counts the live appointments that name it."""

    staff_id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime
    duration_minutes: int
    claim: Period
    capacity: int
    booked: int
    is_available: bool
    bookable_from: datetime | None
    bookable_until: datetime

    @property
    def name(self) -> SlotName:
        return SlotName(self.location_id, self.shape_id, self.start_time)


@dataclass(frozen=True, slots=True)
class PublishedSlot:
    """One row that `availability_slots` must hold, without its id and `calculated_at`."""

    staff_id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime
    duration_minutes: int
    claim: Period
    capacity: int
    seats_left: int
    is_available: bool
    bookable_from: datetime | None
    bookable_until: datetime
    reserved_until: datetime | None
    reserved_by_session: bytes | None
    appointment_id: UUID | None


def calculate_slots(
    calendar: Calendar, staff_id: UUID, from_date: date, to_date: date
) -> list[GridSlot]:
    """The slots of one person that start on from_date..to_date, local dates of each location.

    Design §4: rules 1 to 3 decide which rows exist, rule 4 `is_available`, rule 6 the bookable
    times. "Inactive tenants, people, places and types have none." Sorted by location, shape and
    start.
    """
    if from_date > to_date:
        return []
    if not (calendar.tenant.is_active and _staff_is_active(calendar, staff_id)):
        return []
    taken = _TakenTime(calendar, staff_id, from_date, to_date)
    slots = []
    for location in calendar.locations:
        if not location.is_active:
            continue
        zone = calendar.zone(location)
        pieces = _pieces(calendar, staff_id, location, from_date, to_date)
        working_time = _Minutes.around(from_date, to_date)
        for piece in pieces:
            working_time.paint(piece)
        # A day more on either side, because clocks may go back over midnight.
        pieces_with_starts = [
            piece
            for piece in pieces
            if piece.start.astimezone(zone).date() <= to_date + DAY
            and piece.end.astimezone(zone).date() >= from_date - DAY
        ]
        for shape in _current_shapes(calendar, staff_id):
            for start in _starts(calendar, location, shape, pieces_with_starts, taken):
                slot_time = Period(start, start + shape.duration_minutes * MINUTE)
                # Rule 3: within the location's working time, pieces joined where they touch.
                if from_date <= start.astimezone(zone).date() <= to_date and working_time.covers(
                    slot_time
                ):
                    slots.append(_grid_slot(calendar, staff_id, location, shape, start, taken))
    # Rule 5, limits per day and the compact schedule, follows in a later issue.
    return sorted(slots, key=lambda slot: slot.name)


def published_slots(
    calendar: Calendar, staff_id: UUID, now: datetime, materialized_until: date
) -> list[PublishedSlot]:
    """What `availability_slots` must hold of one person at `now`.

    Design §4, "Which rows exist": the grid from each location's today to `materialized_until`, and
    within those dates every slot that a live appointment or a hold names though the grid lacks it;
    such a slot is never available. Hold columns count all rows of `slot_reservations`, expired ones
    included: writers delete those, so the values are "at the last write".
    """
    today = {
        location.id: now.astimezone(calendar.zone(location)).date()
        for location in calendar.locations
    }
    if not today:
        return []
    grid = {
        slot.name: slot
        for slot in calculate_slots(calendar, staff_id, min(today.values()), materialized_until)
        if today[slot.location_id] <= _local_date(calendar, slot.location_id, slot.start_time)
    }
    attendees = defaultdict(list)
    for row in calendar.appointments:
        if row.staff_id == staff_id and row.is_live and row.slot is not None:
            attendees[row.slot].append(row.id)
    holds = [hold for hold in calendar.holds if hold.staff_id == staff_id]
    slots = list(grid.values())
    for name in attendees.keys() | {hold.slot for hold in holds}:
        local_date = _local_date(calendar, name.location_id, name.start_time)
        if name not in grid and today[name.location_id] <= local_date <= materialized_until:
            slots.append(_kept_slot(calendar, staff_id, name, booked=len(attendees[name])))
    return [
        _published(calendar, slot, attendees[slot.name], holds)
        for slot in sorted(slots, key=lambda slot: slot.name)
    ]


# Local time


def _instant(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """The instant of a wall-clock minute of that date (1440 and more: the dates after it).

    Rule 1: "a skipped or repeated local time means the later of its two instants". The two folds of
    a datetime (PEP 495) are the offsets before and after a clock change; elsewhere they agree.
    """
    local = datetime.combine(day, time()) + minute * MINUTE
    return max(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a local date begins, whatever the clocks do at its midnight."""
    midnight = datetime.combine(day, time())
    moment = min(midnight.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    while moment.astimezone(zone).date() < day:
        moment += MINUTE
    return moment


def _local_date(calendar: Calendar, location_id: UUID, moment: datetime) -> date:
    location = next(row for row in calendar.locations if row.id == location_id)
    return moment.astimezone(calendar.zone(location)).date()


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += DAY


# Minutes


class _Minutes:
    """A period of time in which each whole minute (UTC) is painted or not."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self._first = first
        self._painted = bytearray((last - first) // MINUTE)

    @classmethod
    def around(cls, from_date: date, to_date: date) -> Self:
        """Nothing painted, for all instants that matter to slots of those local dates."""
        return cls(
            datetime.combine(from_date - MARGIN, time(), UTC),
            datetime.combine(to_date + MARGIN, time(), UTC),
        )

    def _touched(self, period: Period) -> tuple[int, int]:
        """The numbers of the minutes that the period touches, even with a second: [first, end)."""
        first = (period.start - self._first) // MINUTE
        end = -((self._first - period.end) // MINUTE)
        return max(0, first), min(max(0, end), len(self._painted))

    def paint(self, period: Period) -> None:
        first, end = self._touched(period)
        if first < end:
            self._painted[first:end] = b"\x01" * (end - first)

    def covers(self, period: Period) -> bool:
        """Whether every minute the period touches is painted."""
        return self._painted.find(0, *self._touched(period)) == -1

    def touches(self, period: Period) -> bool:
        """Whether any minute the period touches is painted."""
        return self._painted.find(1, *self._touched(period)) != -1

    def gaps(self, period: Period) -> Iterator[Period]:
        """What is left of a period of whole minutes when the painted ones are cut out."""
        minute, end = self._touched(period)
        while minute < end:
            if self._painted[minute]:
                minute += 1
                continue
            first = minute
            while minute < end and not self._painted[minute]:
                minute += 1
            yield Period(self._first + first * MINUTE, self._first + minute * MINUTE)


# Rule 1, working time


def _pieces(
    calendar: Calendar, staff_id: UUID, location: Location, from_date: date, to_date: date
) -> list[Period]:
    """What remains of each date's windows when breaks and closed exceptions are cut out (rule 1).

    Cuts reach into every window of that person and place, "tails of the night before included".
    Pieces of different dates stay apart even where they touch, because each has its own grid.
    """
    cuts = _Minutes.around(from_date, to_date)
    for day in _days(from_date - CUT_MARGIN, to_date + CUT_MARGIN):
        for cut in _cuts(calendar, staff_id, location, day):
            cuts.paint(cut)
    return [
        piece
        for day in _days(from_date - WINDOW_MARGIN, to_date + WINDOW_MARGIN)
        for window in _windows(calendar, staff_id, location, day)
        for piece in cuts.gaps(window)
    ]


def _windows(calendar: Calendar, staff_id: UUID, location: Location, day: date) -> Iterator[Period]:
    """One date's windows (rule 1): weekly hours or, where open exceptions name the date, those.

    The rows are united on the wall clock, touching ones joined, and then the ends become instants;
    "windows that end up inverted vanish", as do empty ones.
    """
    rows = [
        (exception.start_minute, exception.end_minute)
        for exception in calendar.schedule_exceptions
        if exception.kind == "open"
        and exception.first_date <= day <= exception.last_date
        and _opens(calendar, exception, staff_id, location)
    ] or [
        (hours.start_minute, hours.end_minute)
        for hours in calendar.working_hours
        if hours.staff_id == staff_id and hours.location_id == location.id and _is_valid(hours, day)
    ]
    zone = calendar.zone(location)
    wall_clock = bytearray(2 * 1440)
    for row in rows:
        start_minute, end_minute = _minutes_of(*row)
        wall_clock[start_minute:end_minute] = b"\x01" * (end_minute - start_minute)
    end_minute = 0
    while (start_minute := wall_clock.find(1, end_minute)) != -1:
        end_minute = wall_clock.find(0, start_minute)
        if end_minute == -1:
            end_minute = len(wall_clock)
        window = Period(_instant(day, start_minute, zone), _instant(day, end_minute, zone))
        if window.start < window.end:
            yield window


def _cuts(calendar: Calendar, staff_id: UUID, location: Location, day: date) -> Iterator[Period]:
    """Breaks and closed exceptions of one date as instants of that date (rule 1)."""
    rows: list[tuple[int | None, int | None]] = [
        (pause.start_minute, pause.end_minute)
        for pause in calendar.breaks
        if pause.staff_id in (None, staff_id)
        and pause.location_id in (None, location.id)
        and _is_valid(pause, day)
    ]
    rows += [
        (exception.start_minute, exception.end_minute)
        for exception in calendar.schedule_exceptions
        if exception.kind == "closed"
        and exception.staff_id in (None, staff_id)
        and exception.location_id in (None, location.id)
        and exception.first_date <= day <= exception.last_date
    ]
    zone = calendar.zone(location)
    for row in rows:
        start_minute, end_minute = _minutes_of(*row)
        cut = Period(_instant(day, start_minute, zone), _instant(day, end_minute, zone))
        if cut.start < cut.end:
            yield cut


def _opens(
    calendar: Calendar, exception: ScheduleException, staff_id: UUID, location: Location
) -> bool:
    """Whether an open exception is about this person and place (rule 1).

    Naming both, it is about exactly them. Otherwise it means those of the place (null: "wherever
    the person has hours rows") and of the person (null: "everyone with hours rows there"): rows of
    any weekday and season.
    """
    if exception.staff_id not in (None, staff_id):
        return False
    if exception.location_id not in (None, location.id):
        return False
    if exception.staff_id is not None and exception.location_id is not None:
        return True
    return any(
        hours.staff_id == staff_id and hours.location_id == location.id
        for hours in calendar.working_hours
    )


def _is_valid(row: WorkingHours | Break, day: date) -> bool:
    """Weekday and season fit the date; validity dates are inclusive (rule 1)."""
    return (
        row.weekday in (None, day.isoweekday())
        and (row.valid_from is None or row.valid_from <= day)
        and (row.valid_until is None or day <= row.valid_until)
    )


def _minutes_of(start_minute: int | None, end_minute: int | None) -> tuple[int, int]:
    """Wall-clock minutes from the date's midnight; an end at or before the start is overnight."""
    if start_minute is None or end_minute is None:
        return 0, 1440
    return start_minute, end_minute if end_minute > start_minute else end_minute + 1440


# Rule 2, starts


def _starts(
    calendar: Calendar,
    location: Location,
    shape: SlotShape,
    pieces: list[Period],
    taken: "_TakenTime",
) -> list[datetime]:
    """All starts of a shape at a location, before rule 3 (rule 2): "duplicates are one"."""
    starts: set[datetime] = set()
    for piece in pieces:
        match calendar.tenant.slot_alignment:
            case "window":
                starts.update(_window_starts(piece, shape))
            case "clock":
                starts.update(_clock_starts(piece, shape, calendar.zone(location)))
            case "gapless":
                starts.update(_gapless_starts(piece, shape, taken))
            case unknown:
                raise ValueError(f"unknown slot alignment {unknown!r}")
    if shape.group_type_id is not None:
        # A class that someone attends keeps its start, whatever has become of the grid.
        starts.update(taken.attended_starts(location.id, shape.id))
    return sorted(starts)


def _window_starts(piece: Period, shape: SlotShape) -> Iterator[datetime]:
    """Every step from the piece's start, in elapsed minutes (rule 2, `window`)."""
    start = piece.start
    while start < piece.end:
        yield start
        start += shape.step_minutes * MINUTE


def _clock_starts(piece: Period, shape: SlotShape, zone: ZoneInfo) -> Iterator[datetime]:
    """Wall-clock minutes of the day divisible by the step (rule 2, `clock`).

    Walks the elapsed minutes, so a repeated hour counts twice and a skipped one never.
    """
    minute = piece.start
    while minute < piece.end:
        local = minute.astimezone(zone)
        if (local.hour * 60 + local.minute) % shape.step_minutes == 0:
            yield minute
        minute += MINUTE


def _gapless_starts(piece: Period, shape: SlotShape, taken: "_TakenTime") -> Iterator[datetime]:
    """Every step from each origin to the next (rule 2, `gapless`).

    Origins are the piece's start and, for each live claim or busy time that ends inside the piece,
    that end + `buffer_before`. (Travel comes on top in a later issue.) "Holds never move a grid,
    nor does a class its own."
    """
    origins = {piece.start}
    for end in taken.ends(not_of_class=shape.id if shape.group_type_id is not None else None):
        if piece.start <= end < piece.end:
            origins.add(end + shape.buffer_before_minutes * MINUTE)
    inside = sorted(origin for origin in origins if origin < piece.end)
    for origin, following in pairwise([*inside, piece.end]):
        start = origin
        while start < following:
            yield start
            start += shape.step_minutes * MINUTE


# Rule 4, free


class _TakenTime:
    """The live claims and the busy times of one person."""

    def __init__(self, calendar: Calendar, staff_id: UUID, from_date: date, to_date: date) -> None:
        self._appointments = [
            row for row in calendar.appointments if row.staff_id == staff_id and row.is_live
        ]
        self._periods: list[tuple[Period, SlotName | None]] = [
            (Period(busy.start_time, busy.end_time), None)
            for busy in calendar.busy_times
            if busy.staff_id == staff_id
        ]
        self._periods += [(row.claim, row.slot) for row in self._appointments]
        self._attendees = Counter(row.slot for row in self._appointments)
        self._minutes = _Minutes.around(from_date, to_date)
        for period, _ in self._periods:
            self._minutes.paint(period)

    def ends(self, not_of_class: UUID | None) -> list[datetime]:
        """Where claims and busy times end, without those of the attendees of one class."""
        return [
            period.end
            for period, slot in self._periods
            if not_of_class is None or slot is None or slot.shape_id != not_of_class
        ]

    def attended_starts(self, location_id: UUID, shape_id: UUID) -> list[datetime]:
        return [
            row.start_time
            for row in self._appointments
            if (row.location_id, row.shape_id) == (location_id, shape_id)
        ]

    def booked(self, name: SlotName) -> int:
        """How many live appointments name the slot."""
        return self._attendees[name]

    def is_free(self, claim: Period, own_slot: SlotName | None) -> bool:
        """No live claim and no busy time overlaps (rule 4); a class ignores its own attendees."""
        if not self._minutes.touches(claim):
            return True
        return not any(
            claim.overlaps(period)
            for period, slot in self._periods
            if own_slot is None or slot != own_slot
        )


# Slots


def _staff_is_active(calendar: Calendar, staff_id: UUID) -> bool:
    return any(person.id == staff_id and person.is_active for person in calendar.staff)


def _current_shapes(calendar: Calendar, staff_id: UUID) -> list[SlotShape]:
    """The shapes of the active types that the person is assigned to, each once."""
    assigned = {row.appointment_type_id for row in calendar.assignments if row.staff_id == staff_id}
    current = {
        row.shape_id for row in calendar.appointment_types if row.is_active and row.id in assigned
    }
    return [shape for shape in calendar.slot_shapes if shape.id in current]


def _capacity(calendar: Calendar, shape: SlotShape) -> int:
    """The seats of a slot: its type's capacity for a class, else 1 (design §3, slot_shapes)."""
    if shape.group_type_id is None:
        return 1
    return next(row.capacity for row in calendar.appointment_types if row.id == shape.group_type_id)


def _claim(shape: SlotShape, start: datetime) -> Period:
    """[start - buffer_before, end + buffer_after) (design §3)."""
    return Period(
        start - shape.buffer_before_minutes * MINUTE,
        start + (shape.duration_minutes + shape.buffer_after_minutes) * MINUTE,
    )


def _bookable(
    calendar: Calendar, location: Location, shape: SlotShape, start: datetime
) -> tuple[datetime | None, datetime]:
    """`bookable_from` and `bookable_until` (rule 6).

    "Nothing after the location's today + booking_horizon_days": rows end with the tenant's own
    horizon anyway, so only a location in another zone needs that as a bound of its own, the moment
    its date that many days before the slot begins.
    """
    bounds = []
    if shape.max_advance_days is not None:
        bounds.append(start - shape.max_advance_days * DAY)
    if location.timezone not in (None, calendar.tenant.timezone):
        zone = calendar.zone(location)
        horizon = timedelta(days=calendar.tenant.booking_horizon_days)
        bounds.append(_first_instant(start.astimezone(zone).date() - horizon, zone))
    return max(bounds, default=None), start - shape.min_notice_minutes * MINUTE


def _grid_slot(
    calendar: Calendar,
    staff_id: UUID,
    location: Location,
    shape: SlotShape,
    start: datetime,
    taken: _TakenTime,
) -> GridSlot:
    """A slot of the grid, free or not (rule 4)."""
    claim = _claim(shape, start)
    name = SlotName(location.id, shape.id, start)
    booked = taken.booked(name)
    if shape.group_type_id is None:
        is_available = taken.is_free(claim, own_slot=None)
    else:
        # "A group slot ignores its own attendees and is free while seats are left."
        is_available = taken.is_free(claim, own_slot=name) and booked < _capacity(calendar, shape)
    return _slot(calendar, staff_id, location, shape, start, booked, is_available)


def _slot(
    calendar: Calendar,
    staff_id: UUID,
    location: Location,
    shape: SlotShape,
    start: datetime,
    booked: int,
    is_available: bool,
) -> GridSlot:
    bookable_from, bookable_until = _bookable(calendar, location, shape, start)
    return GridSlot(
        staff_id=staff_id,
        location_id=location.id,
        shape_id=shape.id,
        start_time=start,
        end_time=start + shape.duration_minutes * MINUTE,
        duration_minutes=shape.duration_minutes,
        claim=_claim(shape, start),
        capacity=_capacity(calendar, shape),
        booked=booked,
        is_available=is_available,
        bookable_from=bookable_from,
        bookable_until=bookable_until,
    )


# Published rows


def _kept_slot(calendar: Calendar, staff_id: UUID, name: SlotName, booked: int) -> GridSlot:
    """A row kept only because an appointment or a hold names it: never available (design §4)."""
    location = next(row for row in calendar.locations if row.id == name.location_id)
    shape = next(row for row in calendar.slot_shapes if row.id == name.shape_id)
    return _slot(calendar, staff_id, location, shape, name.start_time, booked, is_available=False)


def _published(
    calendar: Calendar, slot: GridSlot, appointment_ids: list[UUID], holds: list[Hold]
) -> PublishedSlot:
    """The slot with the columns that follow from its appointments and from holds (design §4)."""
    own = [hold for hold in holds if hold.slot == slot.name]
    others = [hold for hold in holds if hold.slot != slot.name and hold.claim.overlaps(slot.claim)]
    shape = next(row for row in calendar.slot_shapes if row.id == slot.shape_id)
    is_group = shape.group_type_id is not None
    # A single slot is barred by each hold over it, a class by its own only where seats run out.
    barring = [hold.expires_at for hold in others]
    if is_group:
        until_a_seat_is_free = slot.booked + len(own) - slot.capacity + 1
        barring += sorted(hold.expires_at for hold in own)[: max(0, until_a_seat_is_free)]
    else:
        barring += [hold.expires_at for hold in own]
    sessions = {hold.session_hash for hold in [*own, *others]}
    return PublishedSlot(
        staff_id=slot.staff_id,
        location_id=slot.location_id,
        shape_id=slot.shape_id,
        start_time=slot.start_time,
        end_time=slot.end_time,
        duration_minutes=slot.duration_minutes,
        claim=slot.claim,
        capacity=slot.capacity,
        seats_left=max(0, slot.capacity - slot.booked - len(own)),
        is_available=slot.is_available,
        bookable_from=slot.bookable_from,
        bookable_until=slot.bookable_until,
        reserved_until=max(barring, default=None),
        reserved_by_session=next(iter(sessions)) if len(sessions) == 1 else None,
        appointment_id=None if is_group else next(iter(appointment_ids), None),
    )
