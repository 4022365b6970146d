"""Random mixed load on one small business, by the real clock, and what must be true meanwhile,
afterwards, and after the server was killed in the middle of it.

Each client has a thread and a session. It reserves, releases, books, moves and cancels through the
API, and writes appointments, busy times and hours by hand, as staff and other systems do. It keeps
what it was told: `Load.broken_promises` compares that with what the database says.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from psycopg import errors
from psycopg.rows import class_row

from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.salon import Salon, insert, limit_calls

Session = psycopg.Connection[Any]

ZONE = ZoneInfo("Europe/Berlin")

# What must be free is a claim; a claim has one owner, other than on one group slot.
CLAIMS = """
  select a.id, a.tenant_id, a.staff_id, a.claim, a.slot_id, a.seat, a.capacity, a.is_group
  from booking.appointments a
  where a.status <> 'cancelled'
  union all
  select h.id, h.tenant_id, h.staff_id, h.claim, h.slot_id, h.seat, h.capacity, sh.is_group
  from booking.slot_reservations h
  join booking.slot_shapes sh on sh.tenant_id = h.tenant_id and sh.id = h.shape_id
  where h.expires_at > booking.now()
"""


def overlaps(db: Session) -> list[tuple[Any, ...]]:
    """Promise P1, read from the rows: live appointments and live holds that overlap, classes with
    a seat given out twice, and classes with more guests than the type has seats."""
    return db.execute(
        f"""
        with claims as materialized ({CLAIMS})
        select 'overlap', x.id, y.id, x.claim, y.claim
        from claims x
        join claims y on y.tenant_id = x.tenant_id and y.staff_id = x.staff_id
        where x.id < y.id and x.claim && y.claim
          and not (x.is_group and y.is_group and x.slot_id = y.slot_id and x.seat <> y.seat)
        union all
        select 'overfilled', c.slot_id, null, null, null
        from claims c
        where c.is_group
        group by c.tenant_id, c.slot_id
        having count(*) > max(c.capacity)
        """.encode()
    ).fetchall()


def p99(seconds: list[float]) -> str:
    """The 99th percentile, in milliseconds."""
    return f"{sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1] * 1000:.0f} ms"


@dataclass
class Shop(Salon):
    """A salon by the real clock: four people, a cut, a colouring with turnover, a class of four.

    Holds last a minute, and only the next days can be booked, so that everybody wants the same.
    """

    people: tuple[UUID, ...]


def make_shop(db: Session) -> Shop:
    """Insert it, and let callers call as often as they like."""
    limit_calls(db, 1_000_000)
    tenant = insert(
        db,
        "tenants",
        name="Shop",
        timezone=ZONE.key,
        booking_horizon_days=3,
        hold_minutes=1,
    )
    location = insert(db, "locations", tenant_id=tenant, name="Mitte")
    types = [
        insert(db, "appointment_types", tenant_id=tenant, code=code, name=code, **columns)
        for code, columns in {
            "cut": {"duration_minutes": 30},
            "course": {"duration_minutes": 45, "capacity": 4},
            "colour": {"duration_minutes": 60, "buffer_after_minutes": 15},
        }.items()
    ]
    salon = Salon(db, tenant, location, uuid4(), types[0], types[1])
    people = tuple(salon.add_person(name) for name in ("Ada", "Ben", "Cleo", "Dan"))
    for person in people:
        db.execute(
            "insert into booking.staff_appointment_types"
            " (tenant_id, staff_id, appointment_type_id) values (%s, %s, %s)",
            (tenant, person, types[2]),
        )
    return Shop(db, tenant, location, people[0], types[0], types[1], people)


@dataclass(frozen=True)
class OfferedSlot:
    """A row of availability_slots, and what can be booked there."""

    id: UUID
    staff_id: UUID
    start_time: datetime
    end_time: datetime
    code: str


class Place(NamedTuple):
    """Where an appointment is."""

    staff_id: UUID
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True)
class Change:
    """A write of an appointment that was acknowledged, or (is_certain false) may have happened.

    `place` is where it was put, None if it was cancelled. The times are of time.monotonic().
    """

    appointment_id: UUID
    place: Place | None
    began: float
    ended: float
    is_certain: bool = True


@dataclass
class Booking:
    """What a customer keeps of a booking."""

    appointment_id: UUID
    manage_token: str
    slot: OfferedSlot


@dataclass(frozen=True)
class CutOff:
    """A call that got no answer."""

    function: str
    caller: Caller
    arguments: dict[str, Any]


class ConnectionLost(Exception):
    """The server went away; what was being done may have happened or not."""


@dataclass
class Client:
    """One of many: does this and that at random, and remembers what it was told."""

    url: str
    shop: Shop
    random: random.Random
    # Seconds between one thing and the next.
    pause: float = 0
    session_id: str = field(default_factory=lambda: str(uuid4()))
    holds: list[OfferedSlot] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    created: set[UUID] = field(default_factory=set)
    answered: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    cut_off: list[CutOff] = field(default_factory=list)
    retried: int = 0
    cut_off_writes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def run(self, stop: Event) -> None:
        """Work until told to stop, or until the server is gone."""
        actions = {
            self.reserve: 30,
            self.book: 14,
            self.release: 4,
            self.move: 12,
            self.cancel: 8,
            self.expire_hold: 6,
            self.clean_up: 1,
            self.insert_by_hand: 6,
            self.move_by_hand: 6,
            self.cancel_by_hand: 4,
            self.add_busy_time: 3,
            self.remove_busy_time: 3,
            self.change_hours: 2,
            self.set_hours: 2,
            self.recalculate: 1,
        }
        while not stop.is_set():
            (action,) = self.random.choices(list(actions), list(actions.values()))
            try:
                action()
            except ConnectionLost:
                return
            if self.pause:
                stop.wait(self.pause)

    def connect(self) -> Session:
        """A session of its own, before it works."""
        self.session = psycopg.connect(self.url, autocommit=True)
        self.api = Api(self.session)
        return self.session

    # Through the API.

    def reserve(self) -> None:
        slot = self.pick_slot()
        if slot and self.hold(slot):
            self.holds.append(slot)

    def hold(self, slot: OfferedSlot) -> bool:
        return self.call(
            "reserve_slot",
            ANON,
            slot_id=slot.id,
            session_id=self.session_id,
            appointment_type=slot.code,
        ).success

    def release(self) -> None:
        if self.holds:
            slot = self.pop(self.holds)
            self.call("release_slot", ANON, slot_id=slot.id, session_id=self.session_id)

    def book(self) -> None:
        if not self.holds:
            return
        slot = self.pop(self.holds)
        arguments = {
            "slot_id": slot.id,
            "session_id": self.session_id,
            "appointment_type": slot.code,
            "user_data": {"name": "Ada Lovelace", "email": "ada@example.org"},
            "idempotency_key": str(uuid4()),
        }
        began = time.monotonic()
        answer = self.call("create_appointment", SERVICE, **arguments)
        if answer.success:
            appointment_id = UUID(answer.body["appointment_id"])
            place = Place(slot.staff_id, *times_of(answer))
            self.created.add(appointment_id)
            self.changes.append(Change(appointment_id, place, began, time.monotonic()))
            self.bookings.append(Booking(appointment_id, answer.body["manage_token"], slot))

    def move(self) -> None:
        if not self.bookings:
            return
        booking = self.random.choice(self.bookings)
        slot = self.pick_slot(booking.slot.code)
        # A move to where it is already is an answer and no move.
        if slot is None or slot.id == booking.slot.id:
            return
        if self.random.random() < 0.3 and not self.hold(slot):
            return
        with self.changing(booking.appointment_id, Place(*place_of(slot))) as change:
            answer = self.call(
                "reschedule_appointment",
                ANON,
                appointment_id=booking.appointment_id,
                slot_id=slot.id,
                session_id=self.session_id,
                manage_token=booking.manage_token,
            )
            if answer.success:
                change.happened(Place(UUID(answer.body["staff_id"]), *times_of(answer)))
                booking.slot = slot

    def cancel(self) -> None:
        if not self.bookings:
            return
        booking = self.pop(self.bookings)
        with self.changing(booking.appointment_id, None) as change:
            answer = self.call(
                "cancel_appointment",
                ANON,
                appointment_id=booking.appointment_id,
                manage_token=booking.manage_token,
            )
            if answer.success:
                change.happened(None)

    def set_hours(self) -> None:
        """A whole week, often for a colleague as well."""
        person, colleague = self.random.sample(self.shop.people, 2)
        first, last = self.random.choice(
            [("08:00", "17:00"), ("09:10", "18:20"), ("11:00", "15:00")]
        )
        self.call(
            "set_working_hours",
            SERVICE,
            tenant_id=self.shop.tenant,
            staff_id=person,
            hours=[
                {
                    "location_id": str(self.shop.location),
                    "weekday": weekday,
                    "start_time": first,
                    "end_time": last,
                }
                for weekday in range(1, 8)
            ],
            copy_to_staff_ids=self.random.choice([None, f"{{{colleague}}}"]),
        )

    def recalculate(self) -> None:
        today = datetime.now(ZONE).date()
        self.call(
            "recalculate_availability",
            SERVICE,
            tenant_id=self.shop.tenant,
            start_date=today,
            end_date=today + timedelta(days=3),
        )

    # By hand, as staff, imports and jobs do.

    def expire_hold(self) -> None:
        """A minute passes for one hold. Whoever writes holds locks their calendar first."""
        hold = self.pick("select h.staff_id, h.id from booking.slot_reservations h where true")
        if hold:
            staff_id, hold_id = hold
            with self.unless_lost(), self.session.transaction():
                self.session.execute(
                    "select booking.lock_calendars(%s, %s)", (self.shop.tenant, [staff_id])
                )
                self.session.execute(
                    "update booking.slot_reservations set expires_at = booking.now()"
                    " where tenant_id = %s and id = %s",
                    (self.shop.tenant, hold_id),
                )

    def clean_up(self) -> None:
        with self.unless_lost():
            self.session.execute("select booking.cleanup_expired_slot_reservations()")

    def insert_by_hand(self) -> None:
        appointment_id, place = uuid4(), self.any_place()
        with self.changing(appointment_id, place) as change:
            if self.write(
                "create_appointment",
                "insert into booking.appointments (tenant_id, id, staff_id, location_id,"
                " appointment_type_id, start_time, end_time) values (%s, %s, %s, %s, %s, %s, %s)",
                *(self.shop.tenant, appointment_id, place.staff_id, self.shop.location),
                *(self.shop.cut, place.start_time, place.end_time),
            ):
                change.happened(place)
                self.created.add(appointment_id)

    def move_by_hand(self) -> None:
        found = self.pick("select a.id from booking.appointments a where a.status <> 'cancelled'")
        if found:
            place = self.any_place()
            with self.changing(found[0], place) as change:
                if self.write(
                    "reschedule_appointment",
                    "update booking.appointments"
                    " set staff_id = %s, start_time = %s, end_time = %s"
                    " where tenant_id = %s and id = %s and status <> 'cancelled'"
                    # To where it is already is no move, and on nobody's record.
                    " and (staff_id, start_time, end_time) is distinct from (%s, %s, %s)",
                    *(*place, self.shop.tenant, found[0], *place),
                ):
                    change.happened(place)

    def cancel_by_hand(self) -> None:
        found = self.pick("select a.id from booking.appointments a where a.status <> 'cancelled'")
        if found:
            with self.changing(found[0], None) as change:
                if self.write(
                    "cancel_appointment",
                    "update booking.appointments set status = 'cancelled'"
                    " where tenant_id = %s and id = %s and status <> 'cancelled'",
                    *(self.shop.tenant, found[0]),
                ):
                    change.happened(None)

    def add_busy_time(self) -> None:
        with self.unless_lost():
            self.session.execute(
                "insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source)"
                " values (%s, %s, %s, %s, 'load')",
                (self.shop.tenant, *self.any_place()),
            )

    def remove_busy_time(self) -> None:
        found = self.pick("select b.id from booking.busy_times b where true")
        if found:
            with self.unless_lost():
                self.session.execute(
                    "delete from booking.busy_times where tenant_id = %s and id = %s",
                    (self.shop.tenant, found[0]),
                )

    def change_hours(self) -> None:
        with self.unless_lost():
            self.session.execute(
                "update booking.working_hours set start_time = %s, end_time = %s"
                " where tenant_id = %s and staff_id = %s and weekday = %s",
                (
                    self.random.choice(["08:00", "09:00", "09:10", "11:00"]),
                    self.random.choice(["15:00", "17:00", "18:20"]),
                    self.shop.tenant,
                    self.random.choice(self.shop.people),
                    self.random.randint(1, 7),
                ),
            )

    # How it is done, and remembered.

    def call(self, function: str, caller: Caller, **arguments: Any) -> Answer:
        """Call a function; its answer counts once the transaction is committed."""
        began = time.monotonic()
        try:
            with self.unless_lost():
                answer = self.api.call(function, caller, **arguments)
        except ConnectionLost:
            self.cut_off.append(CutOff(function, caller, arguments))
            raise
        self.seconds.append(time.monotonic() - began)
        self.answered[function, answer.code] += 1
        return answer

    def write(self, action: str, statement: str, *values: object) -> bool:
        """Write an appointment by hand; False where another stands in its way, or is gone."""
        try:
            with self.unless_lost():
                done = self.session.execute(statement.encode(), values).rowcount == 1
        except errors.ExclusionViolation:
            return False
        except ConnectionLost:
            self.cut_off_writes[action] += 1
            raise
        self.written[action] += done
        return done

    @contextmanager
    def changing(self, appointment_id: UUID, place: Place | None) -> Iterator[Attempt]:
        """A change to remember if it happens, and to reckon with if that stays unknown."""
        attempt = Attempt(self, appointment_id)
        try:
            yield attempt
        except ConnectionLost:
            self.changes.append(Change(appointment_id, place, attempt.began, math.inf, False))
            raise

    @contextmanager
    def unless_lost(self) -> Iterator[None]:
        """Turns the server's sudden end, and nothing else, into ConnectionLost."""
        try:
            yield
        except psycopg.OperationalError as error:
            if self.session.closed:
                raise ConnectionLost from error
            raise

    def pick(self, query: str) -> tuple[Any, ...] | None:
        """A row of the shop's at random; the query ends in a condition."""
        with self.unless_lost():
            return self.session.execute(
                f"{query} and tenant_id = %s order by random() limit 1".encode(),
                (self.shop.tenant,),
            ).fetchone()

    def pick_slot(self, code: str | None = None) -> OfferedSlot | None:
        """A slot at random: one that is offered, now and then any."""
        with (
            self.unless_lost(),
            self.session.cursor(row_factory=class_row(OfferedSlot)) as cursor,
        ):
            return cursor.execute(
                "select s.id, s.staff_id, s.start_time, s.end_time, t.code"
                " from booking.availability_slots s"
                " join booking.appointment_types t"
                "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
                " where s.tenant_id = %(tenant)s and s.bookable_until > booking.now()"
                " and (%(code)s::text is null or t.code = %(code)s)"
                " and (%(any)s or s.is_available"
                "   and (s.reserved_until is null or s.reserved_until <= booking.now()))"
                " order by random() limit 1",
                {"tenant": self.shop.tenant, "code": code, "any": self.random.random() < 0.2},
            ).fetchone()

    def any_place(self) -> Place:
        """Somebody, on one of the next days, at any time and for any length."""
        today = datetime.now(ZONE).replace(hour=8, minute=0, second=0, microsecond=0)
        start = today + timedelta(
            days=self.random.randint(1, 3), minutes=5 * self.random.randrange(110)
        )
        length = timedelta(minutes=5 * self.random.randint(2, 12))
        return Place(self.random.choice(self.shop.people), start, start + length)

    def pop(self, items: list[Any]) -> Any:
        """One of them at random, taken out."""
        return items.pop(self.random.randrange(len(items)))


@dataclass
class Attempt:
    """A change of an appointment, from before it is asked for."""

    client: Client
    appointment_id: UUID
    began: float = field(default_factory=time.monotonic)

    def happened(self, place: Place | None) -> None:
        self.client.changes.append(Change(self.appointment_id, place, self.began, time.monotonic()))


def times_of(answer: Answer) -> tuple[datetime, datetime]:
    """From when until when, as an answer says."""
    return (
        datetime.fromisoformat(answer.body["start_time"]),
        datetime.fromisoformat(answer.body["end_time"]),
    )


def place_of(slot: OfferedSlot) -> tuple[UUID, datetime, datetime]:
    return slot.staff_id, slot.start_time, slot.end_time


class Load:
    """Many clients at once. It can be stopped, or lose its server, and go on afterwards."""

    def __init__(self, url: str, shop: Shop, clients: int = 16) -> None:
        self.shop = shop
        self.clients = [Client(url, shop, random.Random(number)) for number in range(clients)]
        self._working: list[Future[None]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """While in here, the clients work. What any of them runs into is raised at the end."""
        stop = Event()
        with ExitStack() as sessions, ThreadPoolExecutor(len(self.clients)) as threads:
            for client in self.clients:
                sessions.enter_context(client.connect())
            self._working = [threads.submit(client.run, stop) for client in self.clients]
            try:
                yield
            finally:
                stop.set()
        for each in self._working:
            each.result()

    @property
    def is_working(self) -> bool:
        """Whether every client is at work: none has failed, none has lost its server."""
        return not any(each.done() for each in self._working)

    @property
    def calls(self) -> int:
        """How many calls have been answered."""
        return sum(client.answered.total() for client in self.clients)

    def summary(self) -> str:
        """What it did, for people."""
        answered = sum((client.answered for client in self.clients), Counter[Any]())
        written = sum((client.written for client in self.clients), Counter[Any]())
        seconds = [each for client in self.clients for each in client.seconds]
        lines = [f"{self.calls:,} calls, p99 {p99(seconds)}"]
        lines += [
            f"  {function} {code or 'success'}: {count:,}"
            for (function, code), count in sorted(
                answered.items(), key=lambda each: (each[0][0], each[0][1] or "")
            )
        ]
        lines += [f"  {action} by hand: {count:,}" for action, count in sorted(written.items())]
        cut_off = sum(len(client.cut_off) for client in self.clients)
        cut_off += sum(client.cut_off_writes.total() for client in self.clients)
        return "\n".join([*lines, f"  cut off: {cut_off:,}"])

    def retry_bookings(self, db: Session) -> int:
        """Send the bookings that got no answer once more, as a client does whose connection broke;
        returns how many of them had been booked the first time."""
        api = Api(db)
        replayed = 0
        for client in self.clients:
            for call in client.cut_off[client.retried :]:
                if call.function != "create_appointment":
                    continue
                before = db.execute(
                    "select id from booking.appointments where idempotency_key = %s",
                    (call.arguments["idempotency_key"],),
                ).fetchone()
                answer = api.call(call.function, call.caller, **call.arguments)
                client.answered[call.function, answer.code] += 1
                if before:
                    replayed += 1
                    assert answer.body.get("appointment_id") == str(before[0])
            client.retried = len(client.cut_off)
        return replayed

    # What must be true when nobody is at work.

    def broken_promises(self, db: Session) -> list[str]:
        """What was acknowledged and is not there, what is there by half, and what is on record
        too often or not often enough."""
        return [
            *self.lost_changes(db),
            *self.unrecorded_calls(db),
            *(str(row) for row in half_changes(db)),
            *(str(row) for row in overlaps(db)),
        ]

    def lost_changes(self, db: Session) -> Iterator[str]:
        """Appointments that are not where the last acknowledged change put them. Of changes at
        the same time, either may be the last."""
        found = {
            row[0]: (row[1], Place(*row[2:]))
            for row in db.execute(
                "select id, status, staff_id, start_time, end_time from booking.appointments"
            )
        }
        changes: dict[UUID, list[Change]] = defaultdict(list)
        for client in self.clients:
            for change in client.changes:
                changes[change.appointment_id].append(change)

        for appointment_id in sorted(set().union(*(each.created for each in self.clients))):
            if appointment_id not in found:
                yield f"{appointment_id} was booked and is gone"
                continue
            status, place = found[appointment_id]
            ends = [each for each in changes[appointment_id] if each.place is None]
            if (status == "cancelled") not in {any(e.is_certain for e in ends), bool(ends)}:
                yield f"{appointment_id} is {status}, against what was acknowledged"
            moves = [each for each in changes[appointment_id] if each.place is not None]
            last_began = max(each.began for each in moves if each.is_certain)
            if place not in {each.place for each in moves if each.ended >= last_began}:
                yield f"{appointment_id} is at {place}, not where it was put last"

    def unrecorded_calls(self, db: Session) -> Iterator[str]:
        """Answers without an audit row of their own, and audit rows of nobody's call. A call that
        got no answer may have left one."""
        for is_direct in (False, True):
            recorded: Counter[tuple[str, str | None]] = Counter()
            for action, code, count in db.execute(
                "select action, code, count(*) from booking.audit_log"
                " where coalesce((details ->> 'is_direct')::boolean, false) = %s group by 1, 2",
                (is_direct,),
            ):
                recorded[action, code] = count
            known: Counter[tuple[str, str | None]] = Counter()
            unknown: Counter[str] = Counter()
            for client in self.clients:
                if is_direct:
                    known.update({(action, None): n for action, n in client.written.items()})
                    unknown += client.cut_off_writes
                else:
                    known += client.answered
                    unknown.update(call.function for call in client.cut_off)
            for (action, code), count in sorted((known - recorded).items(), key=str):
                yield f"{count} of {action} {code or 'success'} happened without an audit row"
            surplus: Counter[str] = Counter()
            for (action, _), count in (recorded - known).items():
                surplus[action] += count
            for action, count in sorted((surplus - unknown).items()):
                yield f"{count} audit rows too many say {action}"


def half_changes(db: Session) -> list[tuple[Any, ...]]:
    """Appointments, events and audit rows that are not there together."""
    return db.execute(
        """
        with told as (
          select e.tenant_id, e.appointment_id,
            count(*) filter (where e.kind = 'booked') as booked,
            count(*) filter (where e.kind = 'moved') as moved,
            count(*) filter (where e.kind = 'cancelled') as cancelled
          from booking.events e
          group by 1, 2
        ),
        recorded as (
          select l.tenant_id, l.appointment_id,
            count(*) filter (where l.action = 'create_appointment') as booked,
            count(*) filter (where l.action = 'reschedule_appointment') as moved,
            count(*) filter (where l.action = 'cancel_appointment') as cancelled
          from booking.audit_log l
          where l.outcome = 'success' and l.appointment_id is not null
          group by 1, 2
        )
        select 'by half', a.id, a.status, to_jsonb(t), to_jsonb(r)
        from booking.appointments a
        full join told t on t.tenant_id = a.tenant_id and t.appointment_id = a.id
        full join recorded r
          on r.tenant_id = coalesce(a.tenant_id, t.tenant_id)
          and r.appointment_id = coalesce(a.id, t.appointment_id)
        -- A booking sent twice with one key is on record twice.
        where (
          a.id is not null, t.booked, r.booked > 0, t.moved, t.cancelled, r.cancelled
        ) is distinct from (
          true, 1::bigint, true, r.moved, (a.status = 'cancelled')::integer::bigint, t.cancelled
        )
        """
    ).fetchall()
