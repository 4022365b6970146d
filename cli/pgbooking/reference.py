"""The independent calculator: what can be booked, worked out minute by minute in plain Python.

A second opinion. It was written from the rules of the design (§4), shares neither code nor SQL with
`booking.calculate_slots`, and prefers the obvious to the fast: time zones come from `zoneinfo`,
working time is a row of minutes that are painted and cut. `pgbooking verify --independent` and the
property tests hold the two calculators against each other.

`load_calendar` reads a tenant's tables, `calculate_slots` says which slots the rules give,
`published_slots` what `booking.availability_slots` must hold, and `slots_beyond` what a listing of
later dates, which have no rows, must work out.

Every datetime here is aware and in UTC; dates are local dates of a location; a minute of the day is
counted on the wall clock from local midnight. Hours, breaks and exceptions are whole minutes and
zones are offset by whole minutes (all are since 1972), so working time is a set of whole minutes of
UTC. Claims, busy times and the starts they lead to may lie at any second and are compared exactly.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from typing import Self
from uuid import UUID
from zoneinfo import ZoneInfo

from pgbooking.reference_calendar import (
    MARGIN,
    Appointment,
    Break,
    Calendar,
    Hold,
    Location,
    Period,
    ScheduleException,
    SlotName,
    SlotShape,
    StaffMember,
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
    "slots_beyond",
]

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# A window ends at the latest 48 hours after the midnight its date began with, so that far on either
# side working time matters to a slot; cuts reach into those windows from as far again.
WINDOW_MARGIN = timedelta(days=3)
CUT_MARGIN = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class GridSlot:
    """One slot that rules 1 to 3 give; `booked` counts the live appointments that name it.

    `is_free` is rule 4, `is_available` rules 4 and 5.
    """

    staff_id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    end_time: datetime
    duration_minutes: int
    claim: Period
    capacity: int
    booked: int
    is_free: bool
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

    Design §4: rules 1 to 3 decide which rows exist, rule 4 `is_free`, rules 4 and 5
    `is_available`, rule 6 the bookable times. "Inactive tenants, people, places and types have
    none." Sorted by location, shape and start.
    """
    if from_date > to_date:
        return []
    if not (calendar.tenant.is_active and _staff_is_active(calendar, staff_id)):
        return []
    slots = []
    for location in calendar.locations:
        if not location.is_active:
            continue
        zone = calendar.zone(location)
        taken = _TakenTime(calendar, staff_id, location.id, from_date, to_date)
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
    slots.sort(key=lambda slot: slot.name)
    available = _available(calendar, staff_id, slots)
    return [replace(slot, is_available=slot.name in available) for slot in slots]


def published_slots(
    calendar: Calendar, staff_id: UUID, now: datetime, materialized_until: date
) -> list[PublishedSlot]:
    """What `availability_slots` must hold of one person at `now`.

    Design §4, "Which rows exist": the grid from each location's today to `materialized_until`, and
    within those dates every slot that a live appointment or a hold names though the grid lacks it;
    such a slot is never available. Hold columns count all rows of `slot_reservations`, expired ones
    included: writers delete those, so the values are "at the last write".
    """
    return _with_kept_slots(
        calendar,
        staff_id,
        {
            location.id: (_today(calendar, location, now), materialized_until)
            for location in calendar.locations
        },
    )


def slots_beyond(
    calendar: Calendar, staff_id: UUID, now: datetime, materialized_until: date
) -> list[PublishedSlot]:
    """What a listing must work out of one person at `now` for the dates that have no rows.

    Design §4: "Later dates have no rows: holds and appointments there live in their own tables and
    are subtracted when a listing is calculated", and rule 6: "Nothing after the location's today +
    `booking_horizon_days`". So each location's dates from the one after `materialized_until` (from
    its today, if that is later) to its horizon, with the columns that a published row would have,
    slots included that only an appointment or a hold names.
    """
    horizon = calendar.tenant.booking_horizon_days * DAY
    return _with_kept_slots(
        calendar,
        staff_id,
        {
            location.id: (max(today, materialized_until + DAY), today + horizon)
            for location in calendar.locations
            for today in [_today(calendar, location, now)]
        },
    )


def _with_kept_slots(
    calendar: Calendar, staff_id: UUID, dates: dict[UUID, tuple[date, date]]
) -> list[PublishedSlot]:
    """The grid on each location's dates (first, last), and what is named but not on it."""
    if not dates:
        return []
    first_date = min(first for first, _ in dates.values())
    last_date = max(last for _, last in dates.values())

    def is_asked_for(name: SlotName) -> bool:
        first, last = dates[name.location_id]
        return first <= _local_date(calendar, name.location_id, name.start_time) <= last

    slots = {
        slot.name: slot
        for slot in calculate_slots(calendar, staff_id, first_date, last_date)
        if is_asked_for(slot.name)
    }
    attendees = defaultdict(list)
    for row in calendar.appointments:
        if row.staff_id == staff_id and row.is_live and row.slot is not None:
            attendees[row.slot].append(row.id)
    holds = [hold for hold in calendar.holds if hold.staff_id == staff_id]
    for name in attendees.keys() | {hold.slot for hold in holds}:
        if name not in slots and is_asked_for(name):
            slots[name] = _kept_slot(calendar, staff_id, name, booked=len(attendees[name]))
    booked_days = _booked_days_by_location(calendar, staff_id)
    return [
        _published(
            calendar,
            slots[name],
            attendees[name],
            _Barring(calendar, slots[name], holds, booked_days[name.location_id]),
        )
        for name in sorted(slots)
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


def _today(calendar: Calendar, location: Location, now: datetime) -> date:
    return now.astimezone(calendar.zone(location)).date()


def _local_date(calendar: Calendar, location_id: UUID, moment: datetime) -> date:
    location = next(row for row in calendar.locations if row.id == location_id)
    return moment.astimezone(calendar.zone(location)).date()


def _touched_dates(period: Period, zone: ZoneInfo) -> list[date]:
    """The local dates on which a half-open period lies, from that of its start on (rule 5)."""
    last_moment = period.end - timedelta(microseconds=1)
    first, last = (moment.astimezone(zone).date() for moment in (period.start, last_moment))
    return list(_days(first, last))


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
    "that end + travel + `buffer_before`": from the appointment's place to the piece's. "Holds never
    move a grid, nor does a class its own."
    """
    origins = {piece.start}
    for taken_time in taken.not_of_class(shape.id if shape.group_type_id is not None else None):
        if piece.start <= taken_time.itself.end < piece.end:
            origins.add(taken_time.with_travel.end + shape.buffer_before_minutes * MINUTE)
    inside = sorted(origin for origin in origins if origin < piece.end)
    for origin, following in pairwise([*inside, piece.end]):
        start = origin
        while start < following:
            yield start
            start += shape.step_minutes * MINUTE


# Rule 4, free


def _travel(calendar: Calendar, from_location_id: UUID, to_location_id: UUID) -> timedelta:
    """Travel from place to place; "the other direction is the same unless it has its own row".

    Design §3, travel_times, and rule 4: "0 without a row".
    """
    minutes = {
        (row.from_location_id, row.to_location_id): row.minutes for row in calendar.travel_times
    }
    there, back = (from_location_id, to_location_id), (to_location_id, from_location_id)
    if from_location_id == to_location_id:
        return timedelta()
    return minutes.get(there, minutes.get(back, 0)) * MINUTE


def _with_travel(calendar: Calendar, claim: Period, at: UUID, seen_from: UUID) -> Period:
    """What a claim at one place takes of the person's time at another (rule 4).

    Before it the travel there, after it the travel back: a claim [c, d) at the other place must end
    by its start - travel, d <= a - travel(to it), or begin from its end + travel on.
    """
    return Period(
        claim.start - _travel(calendar, seen_from, at),
        claim.end + _travel(calendar, at, seen_from),
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """A live claim or a busy time, and what it takes at the place asked about; busy times "need no
    travel", as nobody knows where they are spent."""

    itself: Period
    with_travel: Period
    slot: SlotName | None


class _TakenTime:
    """The live claims and the busy times of one person, as they are felt at one place."""

    def __init__(
        self, calendar: Calendar, staff_id: UUID, location_id: UUID, from_date: date, to_date: date
    ) -> None:
        self._appointments = _live_appointments(calendar, staff_id)
        self._taken = []
        for busy in calendar.busy_times:
            if busy.staff_id == staff_id:
                period = Period(busy.start_time, busy.end_time)
                self._taken.append(_Taken(period, period, None))
        for row in self._appointments:
            with_travel = _with_travel(calendar, row.claim, row.location_id, location_id)
            self._taken.append(_Taken(row.claim, with_travel, row.slot))
        self._attendees = Counter(row.slot for row in self._appointments)
        self._minutes = _Minutes.around(from_date, to_date)
        for each in self._taken:
            self._minutes.paint(each.with_travel)

    def not_of_class(self, shape_id: UUID | None) -> list[_Taken]:
        """Claims and busy times without those of the attendees of one class."""
        return [
            each
            for each in self._taken
            if shape_id is None or each.slot is None or each.slot.shape_id != shape_id
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
        """No busy time overlaps and no live claim with its travel (rule 4); a class ignores its own
        attendees."""
        if not self._minutes.touches(claim):
            return True
        return not any(
            claim.overlaps(each.with_travel)
            for each in self._taken
            if own_slot is None or each.slot != own_slot
        )


# Rule 5, limits and preferences


class _BookedDays:
    """On which local dates of one zone a person's live appointments lie, wherever they are.

    "Attendees of one slot counted once": appointments that name a slot are told apart by its name,
    those by hand by their own id.
    """

    def __init__(self, calendar: Calendar, staff_id: UUID, zone: ZoneInfo) -> None:
        self._names: dict[date, set[SlotName | UUID]] = defaultdict(set)
        self.zone = zone
        for row in _live_appointments(calendar, staff_id):
            for day in _touched_dates(Period(row.start_time, row.end_time), zone):
                self._names[day].add(row.slot or row.id)

    def count(self, day: date) -> int:
        return len(self._names.get(day, ()))


def _booked_days_by_location(calendar: Calendar, staff_id: UUID) -> dict[UUID, _BookedDays]:
    return {
        location.id: _BookedDays(calendar, staff_id, calendar.zone(location))
        for location in calendar.locations
    }


def _available(calendar: Calendar, staff_id: UUID, grid: list[GridSlot]) -> set[SlotName]:
    """Which slots of the grid are free (rule 4) and within limits and preferences (rule 5).

    The grid is in order of time, and complete for each local date in it.
    """
    person = _person(calendar, staff_id)
    booked_days = _booked_days_by_location(calendar, staff_id)
    lists = defaultdict(list)
    for slot in grid:
        day = _local_date(calendar, slot.location_id, slot.start_time)
        lists[slot.location_id, slot.shape_id, day].append(slot)
    available = set()
    for (location_id, shape_id, day), slots in lists.items():
        is_compact = person.compact_schedule and booked_days[location_id].count(day) > 0
        left = _ends_of_runs(slots) if is_compact else {slot.name for slot in slots}
        available |= {
            slot.name
            for slot in slots
            if slot.is_free
            and (
                _has_started(calendar, shape_id, slot.booked)
                or (slot.name in left and _has_room(person, slot, booked_days[location_id]))
            )
        }
    return available


def _ends_of_runs(slots: list[GridSlot]) -> set[SlotName]:
    """Rule 5, compact_schedule: "the first and the last of each run of consecutive free starts".

    The slots are one local date's of one place and shape, in order of time. Only a start that is
    not free ends a run, a break in working time does not.
    """
    ends = set()
    for is_free, same in groupby(slots, key=lambda slot: slot.is_free):
        if is_free:
            run = list(same)
            ends |= {run[0].name, run[-1].name}
    return ends


def _has_room(person: StaffMember, slot: GridSlot, booked_days: _BookedDays) -> bool:
    """Rule 5, max_appointments_per_day: "every local day the slot touches needs room"."""
    most = person.max_appointments_per_day
    return most is None or all(
        booked_days.count(day) < most
        for day in _touched_dates(Period(slot.start_time, slot.end_time), booked_days.zone)
    )


def _has_started(calendar: Calendar, shape_id: UUID, booked: int) -> bool:
    """Whether it is a class that someone attends: "started classes pass both" (rule 5)."""
    return booked > 0 and _shape(calendar, shape_id).group_type_id is not None


# Slots


def _staff_is_active(calendar: Calendar, staff_id: UUID) -> bool:
    return any(person.id == staff_id and person.is_active for person in calendar.staff)


def _person(calendar: Calendar, staff_id: UUID) -> StaffMember:
    return next(person for person in calendar.staff if person.id == staff_id)


def _shape(calendar: Calendar, shape_id: UUID) -> SlotShape:
    return next(row for row in calendar.slot_shapes if row.id == shape_id)


def _live_appointments(calendar: Calendar, staff_id: UUID) -> list[Appointment]:
    return [row for row in calendar.appointments if row.staff_id == staff_id and row.is_live]


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
    """A slot of the grid, free or not (rule 4); rule 5 has not been asked yet."""
    claim = _claim(shape, start)
    name = SlotName(location.id, shape.id, start)
    booked = taken.booked(name)
    if shape.group_type_id is None:
        is_free = taken.is_free(claim, own_slot=None)
    else:
        # "A group slot ignores its own attendees and is free while seats are left."
        is_free = taken.is_free(claim, own_slot=name) and booked < _capacity(calendar, shape)
    return _slot(calendar, staff_id, location, shape, start, booked, is_free)


def _slot(
    calendar: Calendar,
    staff_id: UUID,
    location: Location,
    shape: SlotShape,
    start: datetime,
    booked: int,
    is_free: bool,
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
        is_free=is_free,
        is_available=is_free,
        bookable_from=bookable_from,
        bookable_until=bookable_until,
    )


# Published rows


def _kept_slot(calendar: Calendar, staff_id: UUID, name: SlotName, booked: int) -> GridSlot:
    """A row kept only because an appointment or a hold names it: never available (design §4)."""
    location = next(row for row in calendar.locations if row.id == name.location_id)
    shape = _shape(calendar, name.shape_id)
    return _slot(calendar, staff_id, location, shape, name.start_time, booked, is_free=False)


class _Barring:
    """What holds do to one slot, given all holds of its person (design §4, "Holds expire …").

    "`reserved_until` is the first moment at which the remaining holds, read as appointments, would
    no longer make rule 4 or the day limit refuse the slot."
    """

    def __init__(
        self, calendar: Calendar, slot: GridSlot, holds: list[Hold], booked_days: _BookedDays
    ) -> None:
        self._calendar = calendar
        self._slot = slot
        self._booked_days = booked_days
        self.own = [hold for hold in holds if hold.slot == slot.name]
        self._others = [hold for hold in holds if hold.slot != slot.name]
        # Rule 4, as if the hold were an appointment at its place.
        self._in_its_way = [
            hold
            for hold in self._others
            if slot.claim.overlaps(
                _with_travel(calendar, hold.claim, hold.location_id, slot.location_id)
            )
        ]
        self._is_group = _shape(calendar, slot.shape_id).group_type_id is not None

    def until(self) -> datetime | None:
        """`reserved_until`: the latest expiry of what bars the slot, None where nothing does."""
        return max(self._by_rule_4() + self._by_the_day_limit(), default=None)

    def by_session(self) -> bytes | None:
        """The session of the slot's own holds and those in its way, None for none or several."""
        sessions = {hold.session_hash for hold in self.own + self._in_its_way}
        return next(iter(sessions)) if len(sessions) == 1 else None

    def _by_rule_4(self) -> list[datetime]:
        """A single slot is barred by each hold in its way and its own, a class by its own only
        where seats run out."""
        others = [hold.expires_at for hold in self._in_its_way]
        own = sorted(hold.expires_at for hold in self.own)
        if self._is_group:
            until_a_seat_is_free = self._slot.booked + len(own) - self._slot.capacity + 1
            own = own[: max(0, until_a_seat_is_free)]
        return others + own

    def _by_the_day_limit(self) -> list[datetime]:
        """On each local date the slot touches, the hold with whose expiry there is room for it.

        Where appointments leave room for n more, that is the n-th of the slots that others hold
        there, counted from the one held longest: when it expires, n - 1 are left. One that somebody
        attends has been counted ("attendees of one slot counted once"). Where they leave none the
        slot is not available anyway. "Started classes pass."
        """
        slot, calendar = self._slot, self._calendar
        most = _person(calendar, slot.staff_id).max_appointments_per_day
        if most is None or _has_started(calendar, slot.shape_id, slot.booked):
            return []
        zone = self._booked_days.zone
        attended = {
            row.slot
            for row in calendar.appointments
            if row.staff_id == slot.staff_id and row.is_live
        }
        barring = []
        for day in _touched_dates(Period(slot.start_time, slot.end_time), zone):
            held_until: dict[SlotName, datetime] = {}
            for hold in self._others:
                if hold.slot in attended:
                    continue
                minutes = _shape(calendar, hold.shape_id).duration_minutes
                held_time = Period(hold.start_time, hold.start_time + minutes * MINUTE)
                if day in _touched_dates(held_time, zone):
                    held_until[hold.slot] = max(
                        hold.expires_at, held_until.get(hold.slot, hold.expires_at)
                    )
            longest_first = sorted(held_until.values(), reverse=True)
            room = most - self._booked_days.count(day)
            if 1 <= room <= len(longest_first):
                barring.append(longest_first[room - 1])
        return barring


def _published(
    calendar: Calendar, slot: GridSlot, appointment_ids: list[UUID], barring: _Barring
) -> PublishedSlot:
    """The slot with the columns that follow from its appointments and from holds (design §4)."""
    is_group = _shape(calendar, slot.shape_id).group_type_id is not None
    return PublishedSlot(
        staff_id=slot.staff_id,
        location_id=slot.location_id,
        shape_id=slot.shape_id,
        start_time=slot.start_time,
        end_time=slot.end_time,
        duration_minutes=slot.duration_minutes,
        claim=slot.claim,
        capacity=slot.capacity,
        seats_left=max(0, slot.capacity - slot.booked - len(barring.own)),
        is_available=slot.is_available,
        bookable_from=slot.bookable_from,
        bookable_until=slot.bookable_until,
        reserved_until=barring.until(),
        reserved_by_session=barring.by_session(),
        appointment_id=None if is_group else next(iter(appointment_ids), None),
    )
