"""What the independent calculator looks at: one tenant's rows, and how they are read.

The rows are named as in the design (§3) and hold only the columns that its rules (§4) mention.
Every datetime is aware and in UTC; a minute of the day is counted on the wall clock from local
midnight, because Python's times end before 24:00.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from pgbooking.rows import Row, fetch

MARGIN = timedelta(days=10)
"""How far around a slot's date anything can matter to it: hours and breaks of the nights before, a
claim with buffers of a day each, a day's travel, the distance between time zones; with room to
spare."""


class Period(NamedTuple):
    """A half-open range of time, [start, end)."""

    start: datetime
    end: datetime

    def overlaps(self, other: "Period") -> bool:
        return self.start < other.end and other.start < self.end


class SlotName(NamedTuple):
    """What tells one person's slots apart; with tenant and person it is what `slot_id` encodes."""

    location_id: UUID
    shape_id: UUID
    start_time: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """The tenant's settings that the rules mention."""

    id: UUID
    timezone: str
    is_active: bool
    slot_alignment: str
    booking_horizon_days: int


@dataclass(frozen=True, slots=True)
class Location:
    """A place; `timezone` None means the tenant's."""

    id: UUID
    timezone: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A person; the preferences are those of rule 5, no maximum is None."""

    id: UUID
    is_active: bool
    max_appointments_per_day: int | None
    compact_schedule: bool


@dataclass(frozen=True, slots=True)
class AppointmentType:
    """A service: its shape says how its slots look, its capacity how many seats a class has."""

    id: UUID
    shape_id: UUID
    capacity: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class SlotShape:
    """What a slot looks like, in effective values; `group_type_id` is null but for classes."""

    id: UUID
    duration_minutes: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    step_minutes: int
    min_notice_minutes: int
    max_advance_days: int | None
    group_type_id: UUID | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A row of `staff_appointment_types`."""

    staff_id: UUID
    appointment_type_id: UUID


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Weekly hours. `end_minute` up to 1440; at or before `start_minute` it is the next day's."""

    staff_id: UUID
    location_id: UUID
    weekday: int
    start_minute: int
    end_minute: int
    valid_from: date | None
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class Break:
    """Time off every week: None as staff is everyone, as location everywhere, as weekday daily."""

    staff_id: UUID | None
    location_id: UUID | None
    weekday: int | None
    start_minute: int
    end_minute: int
    valid_from: date | None
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class ScheduleException:
    """Dates that differ, both inclusive; `kind` is open or closed, no minutes are the whole day."""

    staff_id: UUID | None
    location_id: UUID | None
    first_date: date
    last_date: date
    kind: str
    start_minute: int | None
    end_minute: int | None


@dataclass(frozen=True, slots=True)
class BusyTime:
    """Time taken outside pgbooking."""

    staff_id: UUID
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class TravelTime:
    """Minutes from one place to another; the way back may have a row of its own."""

    from_location_id: UUID
    to_location_id: UUID
    minutes: int


@dataclass(frozen=True, slots=True)
class Appointment:
    """An appointment. One that names a slot has `slot_id` and `shape_id`, any other has neither."""

    id: UUID
    staff_id: UUID
    location_id: UUID
    shape_id: UUID | None
    slot_id: UUID | None
    start_time: datetime
    end_time: datetime
    claim_start: datetime
    claim_end: datetime
    status: str

    @property
    def is_live(self) -> bool:
        return self.status != "cancelled"

    @property
    def claim(self) -> Period:
        return Period(self.claim_start, self.claim_end)

    @property
    def slot(self) -> SlotName | None:
        if self.shape_id is None:
            return None
        return SlotName(self.location_id, self.shape_id, self.start_time)


@dataclass(frozen=True, slots=True)
class Hold:
    """A row of `slot_reservations`."""

    staff_id: UUID
    location_id: UUID
    shape_id: UUID
    start_time: datetime
    claim_start: datetime
    claim_end: datetime
    session_hash: bytes
    expires_at: datetime

    @property
    def claim(self) -> Period:
        return Period(self.claim_start, self.claim_end)

    @property
    def slot(self) -> SlotName:
        return SlotName(self.location_id, self.shape_id, self.start_time)


@dataclass(frozen=True)
class Calendar:
    """Everything the rules look at, for some or all people of one tenant."""

    tenant: Tenant
    locations: tuple[Location, ...] = ()
    staff: tuple[StaffMember, ...] = ()
    appointment_types: tuple[AppointmentType, ...] = ()
    slot_shapes: tuple[SlotShape, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    working_hours: tuple[WorkingHours, ...] = ()
    breaks: tuple[Break, ...] = ()
    schedule_exceptions: tuple[ScheduleException, ...] = ()
    busy_times: tuple[BusyTime, ...] = ()
    appointments: tuple[Appointment, ...] = ()
    holds: tuple[Hold, ...] = ()
    travel_times: tuple[TravelTime, ...] = ()

    def zone(self, location: Location) -> ZoneInfo:
        return ZoneInfo(location.timezone or self.tenant.timezone)


def load_calendar(
    connection: psycopg.Connection,
    tenant_id: UUID,
    from_date: date,
    to_date: date,
    staff_ids: Iterable[UUID] | None = None,
) -> Calendar:
    """Read what `calculate_slots`, `published_slots` and `slots_beyond` need for those dates.

    `staff_ids` None reads everybody. Appointments, busy times, holds and exceptions are read for
    those dates and a generous margin; periods that reach beyond it are cut there. Several SELECTs
    are one moment only in a REPEATABLE READ transaction, which is the caller's to open.

    Raises LookupError where there is no such tenant, psycopg.Error where the database refuses.
    """
    parameters: dict[str, object] = {
        "tenant_id": tenant_id,
        "staff_ids": None if staff_ids is None else list(staff_ids),
        "from_date": from_date - MARGIN,
        "until_date": to_date + MARGIN,
        "from_time": datetime.combine(from_date - MARGIN, time(), UTC),
        "until_time": datetime.combine(to_date + MARGIN, time(), UTC),
    }

    def rows(name: str, row_type: type[Row]) -> tuple[Row, ...]:
        return tuple(fetch(connection, f"reference_{name}", row_type, **parameters))

    tenants = rows("tenant", Tenant)
    if not tenants:
        raise LookupError(f"there is no tenant {tenant_id}")
    return Calendar(
        tenant=tenants[0],
        locations=rows("locations", Location),
        staff=rows("staff", StaffMember),
        appointment_types=rows("appointment_types", AppointmentType),
        slot_shapes=rows("slot_shapes", SlotShape),
        assignments=rows("assignments", Assignment),
        working_hours=rows("working_hours", WorkingHours),
        breaks=rows("breaks", Break),
        schedule_exceptions=rows("schedule_exceptions", ScheduleException),
        busy_times=rows("busy_times", BusyTime),
        appointments=rows("appointments", Appointment),
        holds=rows("holds", Hold),
        travel_times=rows("travel_times", TravelTime),
    )
