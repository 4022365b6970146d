"""What the booking functions promise, in plain Python: a model that says how each call must end.

It keeps the live holds and the appointments itself. What could be booked with these, the
independent calculator says; the tenant's other rows are read from its tables. A method changes the
model as the call of that name changes the database, or raises Refused with the code that the call
must answer. `given` is what an answer says that cannot be foretold: ids, tokens, whose turn it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pgbooking.reference import calculate_slots, published_slots
from pgbooking.reference_calendar import Appointment, Calendar, Hold, Period, SlotName, SlotShape

MINUTE = timedelta(minutes=1)
HOLD_LENGTH = 10 * MINUTE
MOST_HOLDS = 3


class Refused(Exception):
    """The call must be refused with this code."""


@dataclass(frozen=True)
class Slot:
    """A start of a service at somebody's, whether it can be booked or not."""

    id: UUID
    staff_id: UUID
    name: SlotName
    time: Period
    claim: Period


@dataclass(frozen=True)
class Held:
    """A live hold."""

    slot: Slot
    session: str
    seat: int
    expires_at: datetime
    code: str | None
    customer: UUID | None

    @property
    def staff_id(self) -> UUID:
        return self.slot.staff_id

    @property
    def claim(self) -> Period:
        return self.slot.claim

    def row(self) -> Hold:
        return Hold(
            self.staff_id,
            *self.slot.name,
            *self.claim,
            session_hash=sha256(self.session.encode()).digest(),
            expires_at=self.expires_at,
        )


@dataclass(frozen=True)
class Booked:
    """An appointment, of a slot or (slot None) written by hand."""

    id: UUID
    slot: Slot | None
    staff_id: UUID
    location_id: UUID
    time: Period
    claim: Period
    code: str
    seat: int = 1
    status: str = "confirmed"
    customer: UUID | None = None
    token: str | None = None

    @property
    def is_live(self) -> bool:
        return self.status != "cancelled"

    def row(self) -> Appointment:
        return Appointment(
            id=self.id,
            staff_id=self.staff_id,
            location_id=self.location_id,
            shape_id=self.slot.name.shape_id if self.slot else None,
            slot_id=self.slot.id if self.slot else None,
            start_time=self.time.start,
            end_time=self.time.end,
            claim_start=self.claim.start,
            claim_end=self.claim.end,
            status=self.status,
        )


@dataclass(frozen=True)
class Who:
    """Who changes an appointment: a customer, the bearer of a manage token, the service, nobody."""

    customer: UUID | None = None
    token: str | None = None
    is_service: bool = False


class Model:
    """One tenant with one place, whose services are known by code. Nobody has a day limit."""

    def __init__(self, calendar: Calendar, services: Mapping[str, UUID], now: datetime) -> None:
        self.calendar = calendar
        self.now = now
        self.holds: list[Held] = []
        self.appointments: dict[UUID, Booked] = {}
        self.requests: dict[tuple[UUID | None, str], tuple[object, UUID]] = {}
        types = {row.id: row for row in calendar.appointment_types}
        shapes = {row.id: row for row in calendar.slot_shapes}
        self.shapes = {code: shapes[types[row_id].shape_id] for code, row_id in services.items()}
        self.services = services

    def set_clock(self, now: datetime) -> None:
        """Holds end by the clock, whoever deletes their rows."""
        self.now = now
        self.holds = [hold for hold in self.holds if hold.expires_at > now]

    # Holds

    def reserve_slot(
        self, slot: Slot, session: str, code: str | None, customer: UUID | None
    ) -> None:
        codes = self.codes_of(slot)
        code_held = code or (codes[0] if len(codes) == 1 else None)
        for hold in self.holds:
            if (hold.slot, hold.session) == (slot, session):
                self.require_code(code, codes)
                self.holds.remove(hold)
                self.holds.append(
                    replace(
                        hold,
                        code=code_held or hold.code,
                        customer=hold.customer or customer,
                    )
                )
                return
        others = [
            hold
            for hold in self.holds
            if not (hold.session == session and hold.slot != slot and is_in_the_way(hold, slot))
        ]
        if not self.is_listed(slot, self.appointments.values(), others):
            raise Refused("slot_taken")
        self.require_code(code, codes)
        if sum(hold.session == session for hold in others) >= MOST_HOLDS:
            raise Refused("hold_limit_reached")
        seat = self.free_seat(slot, others)
        assert seat is not None
        until = self.now + HOLD_LENGTH
        self.holds = [*others, Held(slot, session, seat, until, code_held, customer)]

    def reserve_time(
        self,
        slots: list[Slot],
        session: str,
        code: str,
        customer: UUID | None,
        given: Mapping[str, Any],
    ) -> None:
        """`slots` are that time with each person. First comes what the session holds for the
        service already, then who is free, then whom it holds at that time for something else."""
        own = [hold for hold in self.holds if hold.session == session]
        same = [hold.slot for hold in own if hold.slot in slots and hold.code == code]
        free = [
            slot
            for slot in slots
            if self.is_listed(slot, self.appointments.values(), self.holds) and slot not in same
        ]
        instead = [slot for slot in slots if any(is_in_the_way(hold, slot) for hold in own)]
        for turn in (same, free, instead):
            ways = []
            for slot in turn:
                before = self.holds
                self.holds = list(before)
                try:
                    self.reserve_slot(slot, session, code, customer)
                    ways.append((slot, self.holds))
                except Refused as refused:
                    if str(refused) != "slot_taken":
                        raise
                finally:
                    self.holds = before
            if ways:
                chosen = {str(slot.id): holds for slot, holds in ways}
                self.holds = chosen[given["slot_id"]]
                return
        raise Refused("slot_taken")

    def release_slot(self, slot: Slot, session: str) -> None:
        for hold in self.holds:
            if (hold.slot, hold.session) == (slot, session):
                self.holds.remove(hold)
                return
        raise Refused("not_found")

    # Appointments

    def create_appointment(
        self,
        slot: Slot,
        session: str | None,
        code: str,
        customer: UUID | None,
        key: str | None,
        given: Mapping[str, Any],
    ) -> None:
        """Customer None: the service, for a guest."""
        if customer is None and session is None:
            raise Refused("invalid_request")
        request = (slot.id, session, code)
        if key is not None and (customer, key) in self.requests:
            known, appointment_id = self.requests[customer, key]
            if known != request:
                raise Refused("idempotency_conflict")
            assert given.get("appointment_id") == str(appointment_id)
            self.change(appointment_id, token=given["manage_token"])
            return
        found = self.holds_of(slot, session, customer)
        if not found:
            raise Refused("reservation_expired")
        hold = min(found, key=lambda hold: hold.expires_at)
        self.require_code(code, self.codes_of(slot))
        if not self.is_free(slot, self.appointments.values()):
            raise Refused("appointment_conflict")
        self.holds.remove(hold)
        appointment_id = UUID(given["appointment_id"])
        self.add(
            Booked(
                appointment_id,
                slot,
                slot.staff_id,
                slot.name.location_id,
                slot.time,
                slot.claim,
                code,
                seat=hold.seat,
                customer=customer,
                token=given["manage_token"],
            )
        )
        if key is not None:
            self.requests[customer, key] = request, appointment_id

    def reschedule_appointment(
        self,
        appointment_id: UUID,
        slot: Slot,
        session: str | None,
        who: Who,
        given: Mapping[str, Any],
    ) -> None:
        row = self.appointment_of(appointment_id, who)
        if row.is_live and row.slot == slot:
            return
        self.require_changeable(row, who)
        rest = [each for each in self.appointments.values() if each.id != row.id]
        found = self.holds_of(slot, session, who.customer)
        # One of a customer's several seats of a class: whichever.
        found.sort(key=lambda hold: hold.seat != given.get("seat"))
        hold = found[0] if found else None
        if hold and not self.is_free(slot, rest):
            raise Refused("appointment_conflict")
        if not hold and not self.is_listed(slot, rest, []):
            raise Refused("slot_taken")
        others = [each for each in self.holds if each is not hold]
        for each in others:
            if is_in_the_way(each, slot) and each.slot != slot:
                is_own = each.session == session or (
                    who.customer is not None and each.customer == who.customer
                )
                if not is_own:
                    raise Refused("slot_taken")
        seat = self.free_seat(slot, others, hold.seat if hold else None)
        if seat is None:
            raise Refused("slot_taken")
        self.require_code(row.code, self.codes_of(slot))
        self.holds = others
        self.add(
            replace(
                row,
                slot=slot,
                staff_id=slot.staff_id,
                location_id=slot.name.location_id,
                time=slot.time,
                claim=slot.claim,
                seat=seat,
            )
        )

    def cancel_appointment(self, appointment_id: UUID, who: Who) -> None:
        self.require_changeable(self.appointment_of(appointment_id, who), who)
        self.change(appointment_id, status="cancelled")

    # By hand

    def insert_appointment(self, row: Booked) -> None:
        """It wins over holds and over no appointment; a full class has no seat for it."""
        for each in self.appointments.values():
            is_same_slot = each.slot == row.slot and row.slot is not None
            if each.is_live and is_in_the_way(each, row) and not is_same_slot:
                raise Refused("overlap")
        if row.slot is not None:
            seat = self.free_seat(row.slot, self.holds)
            if seat is None:
                raise Refused("full")
            row = replace(row, seat=seat)
        self.add(row)

    # What decides

    def codes_of(self, slot: Slot) -> list[str]:
        """The services that share the slots of that shape."""
        return [code for code, shape in self.shapes.items() if shape.id == slot.name.shape_id]

    @staticmethod
    def require_code(code: str | None, codes: list[str]) -> None:
        if code is not None and code not in codes:
            raise Refused("invalid_request")

    def holds_of(self, slot: Slot, session: str | None, customer: UUID | None) -> list[Held]:
        """The session's hold of that slot; without a session, the customer's."""
        return [
            hold
            for hold in self.holds
            if hold.slot == slot
            and (
                hold.session == session
                if session is not None
                else customer is not None and hold.customer == customer
            )
        ]

    def appointment_of(self, appointment_id: UUID, who: Who) -> Booked:
        if who == Who():
            raise Refused("not_authenticated")
        row = self.appointments[appointment_id]
        if not (
            who.is_service
            or (who.customer is not None and who.customer == row.customer)
            or (who.token is not None and who.token == row.token)
        ):
            raise Refused("not_found")
        return row

    def require_changeable(self, row: Booked, who: Who) -> None:
        if not row.is_live:
            raise Refused("invalid_status")
        if self.now > row.time.start and not who.is_service:
            raise Refused("too_late")

    def free_seat(self, slot: Slot, holds: Iterable[Held], asked: int | None = None) -> int | None:
        """The seat asked for if it is free, else the lowest."""
        attendees = [row for row in self.appointments.values() if row.is_live]
        taken = {row.seat for row in attendees if row.slot == slot}
        taken |= {hold.seat for hold in holds if hold.slot == slot}
        shape = next(row for row in self.calendar.slot_shapes if row.id == slot.name.shape_id)
        seats = 1
        if shape.group_type_id is not None:
            seats = next(
                row.capacity
                for row in self.calendar.appointment_types
                if row.id == shape.group_type_id
            )
        free = [seat for seat in range(1, seats + 1) if seat not in taken]
        return asked if asked in free else next(iter(free), None)

    def is_listed(self, slot: Slot, appointments: Iterable[Booked], holds: Iterable[Held]) -> bool:
        """Whether anybody could reserve it: published, available, bookable and not held."""
        day = self.day_of(slot.time.start)
        calendar = replace(
            self.calendar_of(slot),
            appointments=tuple(row.row() for row in appointments),
            holds=tuple(hold.row() for hold in holds),
        )
        return any(
            row.is_available
            and (row.bookable_from is None or row.bookable_from <= self.now)
            and self.now < row.bookable_until
            and row.reserved_until is None
            for row in published_slots(calendar, slot.staff_id, self.now, day)
            if row.start_time == slot.time.start
        )

    def is_free(self, slot: Slot, appointments: Iterable[Booked]) -> bool:
        """Rules 1, 3 and 4: on a grid of every minute, only these decide."""
        calendar = self.calendar_of(slot)
        calendar = replace(
            calendar,
            appointments=tuple(row.row() for row in appointments),
            slot_shapes=tuple(replace(row, step_minutes=1) for row in calendar.slot_shapes),
        )
        day = self.day_of(slot.time.start)
        return any(
            row.is_free
            for row in calculate_slots(calendar, slot.staff_id, day, day)
            if row.start_time == slot.time.start
        )

    def calendar_of(self, slot: Slot) -> Calendar:
        """The tenant's rows, as if nobody offered anything but the slot's shape."""
        offered = [self.services[code] for code in self.codes_of(slot)]
        return replace(
            self.calendar,
            assignments=tuple(
                row for row in self.calendar.assignments if row.appointment_type_id in offered
            ),
        )

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.calendar.tenant.timezone)).date()

    def shape_of(self, code: str) -> SlotShape:
        return self.shapes[code]

    # What changes

    def change(self, appointment_id: UUID, **values: Any) -> None:
        self.appointments[appointment_id] = replace(self.appointments[appointment_id], **values)

    def add(self, row: Booked) -> None:
        """Put it there: holds of other slots in its way go, of its own slot the one of its seat."""
        self.appointments[row.id] = row
        self.holds = [
            hold
            for hold in self.holds
            if not (is_in_the_way(hold, row) and (hold.slot != row.slot or hold.seat == row.seat))
        ]


def is_in_the_way(one: Held | Booked, other: Held | Booked | Slot) -> bool:
    return one.staff_id == other.staff_id and one.claim.overlaps(other.claim)


def refusal_of(call: Callable[[], None]) -> str | None:
    """The code with which the model refuses, None if it does not."""
    try:
        call()
    except Refused as refused:
        return str(refused)
    return None
