"""Random visits to a small salon: every answer is the one that was predicted, and the slots follow.

Two customers and a guest with three sessions want the same two mornings of two people. They hold,
book, move and cancel in any order, also with a session, token or key that is not theirs, while the
tenant writes appointments, busy times and hours by hand and the clock moves on. How each call must
end, the model says (tests/booking/predicting.py). After each step the database has the model's
holds and appointments, publishes what the independent calculator says, and has each call on record
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from pgbooking.reference import published_slots
from pgbooking.reference_calendar import Calendar, Period, SlotName, load_calendar
from tests.api import ANON, SERVICE, Answer
from tests.booking.booked import ADA, ADAS_DATA, BOB, call, rows, user_of
from tests.booking.predicting import MINUTE, Booked, Model, Slot, Who, refusal_of
from tests.calculator.database import stored_slots
from tests.load import overlaps
from tests.machines import PARTS, SEQUENCES, run_machine
from tests.postgres import Server
from tests.salon import NOW, Salon, make_salon, set_clock

STEPS = 30
OUTCOMES: Counter[str] = Counter()

OPENING = datetime.fromisoformat(NOW).astimezone(UTC)
CALLERS = {"anon": ANON, "ada": ADA, "bob": BOB, "service": SERVICE}
CUSTOMERS = {"ada": user_of(ADA), "bob": user_of(BOB)}
SESSIONS = ("session-of-ada-0123456789", "session-of-bob-0123456789", "session-of-eve-0123456789")
# Cut and wash share their slots, after a colouring there is something to clean up, the course is a
# class of two.
CODES = ("cut", "wash", "colour", "course")


@dataclass(frozen=True)
class Wish:
    """A start of a service with one of the two people."""

    person: int
    code: str
    start: datetime


@dataclass(frozen=True)
class Reserved:
    """A hold that was granted: of what, to which session, and who asked."""

    slot: Slot
    session: str
    who: str


@dataclass(frozen=True)
class Booking:
    """What create_appointment is sent."""

    slot: Slot
    session: str | None
    code: str
    who: str
    key: str | None


@dataclass(frozen=True)
class Visit:
    """An appointment, and what it was booked with; None: it was written by hand."""

    id: UUID
    booking: Booking | None


@dataclass(frozen=True)
class Place:
    """The salon that each sequence gets a clone of."""

    server: Server
    database: str
    salon: Salon
    people: tuple[UUID, UUID]
    services: dict[str, UUID]


# Monday's and Tuesday's mornings, from before the hours on. It is Monday, seven o'clock.
starts = st.builds(
    lambda day, quarters: OPENING + timedelta(days=day, minutes=105 + 15 * quarters),
    st.integers(0, 1),
    st.integers(0, 9),
)
people = st.integers(0, 1)
codes = st.sampled_from(CODES)
sessions = st.sampled_from(SESSIONS)
visitors = st.sampled_from(("anon", "ada", "bob"))
customers = st.sampled_from(("ada", "bob"))
wishes = st.builds(Wish, people, codes, starts)
# Mostly who may: the customer or the bearer of the token; else anybody.
changers = st.sampled_from(("customer", "customer", "bearer", "bearer", *CALLERS))


class Visits(RuleBasedStateMachine):
    """One clone of the salon, and what is done there."""

    reserved = Bundle("reserved")
    visits = Bundle("visits")
    busy = Bundle("busy")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.open = ExitStack()
        url = self.open.enter_context(place.server.database(place.database))
        self.db = self.open.enter_context(psycopg.connect(url, autocommit=True))
        self.salon = replace(place.salon, db=self.db)
        set_clock(self.db)
        self.on_record: Counter[tuple[str, str | None, bool]] = Counter()
        self.model = Model(self.read_calendar(OPENING), place.services, OPENING)

    def teardown(self) -> None:
        self.open.close()
        OUTCOMES["sequences"] += 1

    # Holding

    @initialize(target=reserved, first=st.tuples(wishes, wishes, wishes), who=visitors)
    def three_have_come(self, first: tuple[Wish, ...], who: str) -> Any:
        """So that there is always something to go on with: each session asks for something."""
        return multiple(
            *(
                hold
                for session, wish in zip(SESSIONS, first, strict=True)
                for hold in self.reserve(self.slot(wish), session, who, wish.code)
            )
        )

    @initialize(target=visits, wish=wishes, session=sessions, who=customers)
    def one_has_booked(self, wish: Wish, session: str, who: str) -> Any:
        return self.reserve_and_book_it(wish, session, who)

    @rule(
        target=reserved,
        wish=wishes,
        hold=reserved,
        is_what_another_has=st.booleans(),
        session=sessions,
        who=visitors,
        code=st.sampled_from(("own", "own", None, *CODES)),
    )
    def reserve_slot(
        self,
        wish: Wish,
        hold: Reserved,
        is_what_another_has: bool,
        session: str,
        who: str,
        code: str | None,
    ) -> Any:
        slot = hold.slot if is_what_another_has else self.slot(wish)
        code = self.model.codes_of(slot)[0] if code == "own" else code
        return multiple(*self.reserve(slot, session, who, code))

    def reserve(self, slot: Slot, session: str, who: str, code: str | None) -> list[Reserved]:
        answer = self.call(
            "reserve_slot", who, slot_id=slot.id, session_id=session, appointment_type=code
        )
        self.compare(
            answer, lambda: self.model.reserve_slot(slot, session, code, CUSTOMERS.get(who))
        )
        return [Reserved(slot, session, who)] if answer.success else []

    @rule(target=reserved, wish=wishes, session=sessions, who=visitors)
    def reserve_time(self, wish: Wish, session: str, who: str) -> Any:
        answer = self.call(
            "reserve_time",
            who,
            tenant_id=self.salon.tenant,
            start_time=wish.start,
            appointment_type=wish.code,
            session_id=session,
        )
        either = [self.slot(replace(wish, person=person)) for person in (0, 1)]
        self.compare(
            answer,
            lambda: self.model.reserve_time(
                either, session, wish.code, CUSTOMERS.get(who), answer.body
            ),
        )
        chosen = [slot for slot in either if str(slot.id) == answer.body.get("slot_id")]
        return multiple(*(Reserved(slot, session, who) for slot in chosen))

    @rule(hold=reserved, other_session=st.sampled_from((None, None, *SESSIONS)))
    def release_slot(self, hold: Reserved, other_session: str | None) -> None:
        session = other_session or hold.session
        answer = self.call("release_slot", "anon", slot_id=hold.slot.id, session_id=session)
        self.compare(answer, lambda: self.model.release_slot(hold.slot, session))

    # Booking

    @rule(
        target=visits,
        hold=reserved,
        session=st.sampled_from(("own", "own", "own", None, *SESSIONS)),
        who=st.sampled_from(("own", "own", "ada", "bob", "service")),
        code=st.sampled_from(("own", "own", "own", *CODES)),
        key=st.sampled_from((None, None, "first key", "second key")),
    )
    def create_appointment(
        self, hold: Reserved, session: str | None, who: str, code: str, key: str | None
    ) -> Any:
        who = hold.who if who == "own" else who
        return self.book(
            Booking(
                slot=hold.slot,
                session=hold.session if session == "own" else session,
                code=self.model.codes_of(hold.slot)[0] if code == "own" else code,
                who="service" if who == "anon" else who,
                key=key,
            )
        )

    @rule(target=visits, wish=wishes, session=sessions, who=customers)
    def reserve_and_book(self, wish: Wish, session: str, who: str) -> Any:
        return self.reserve_and_book_it(wish, session, who)

    def reserve_and_book_it(self, wish: Wish, session: str, who: str) -> Any:
        slot = self.slot(wish)
        self.reserve(slot, session, who, wish.code)
        return self.book(Booking(slot, session, wish.code, who, key=None))

    @rule(target=visits, visit=visits)
    def send_the_booking_again(self, visit: Visit) -> Any:
        return self.book(visit.booking) if visit.booking else multiple()

    def book(self, booking: Booking) -> Any:
        answer = self.call(
            "create_appointment",
            booking.who,
            slot_id=booking.slot.id,
            user_data=ADAS_DATA,
            appointment_type=booking.code,
            session_id=booking.session,
            idempotency_key=booking.key,
        )
        known = len(self.model.appointments)
        self.compare(
            answer,
            lambda: self.model.create_appointment(
                booking.slot,
                booking.session,
                booking.code,
                CUSTOMERS.get(booking.who),
                booking.key,
                answer.body,
            ),
        )
        if len(self.model.appointments) == known:
            return multiple()
        return Visit(UUID(answer.body["appointment_id"]), booking)

    @rule(
        visit=visits,
        wish=wishes,
        hold=reserved,
        is_held=st.booleans(),
        session=st.sampled_from(("own", "own", None, *SESSIONS)),
        changer=changers,
    )
    def reschedule_appointment(
        self,
        visit: Visit,
        wish: Wish,
        hold: Reserved,
        is_held: bool,
        session: str | None,
        changer: str,
    ) -> None:
        """To what the session holds, or to what it wishes."""
        slot = hold.slot if is_held else self.slot(wish)
        session = hold.session if session == "own" else session
        caller, who = self.changing(visit, changer)
        answer = self.call(
            "reschedule_appointment",
            caller,
            appointment_id=visit.id,
            slot_id=slot.id,
            session_id=session,
            manage_token=who.token,
            staff_id=slot.staff_id,
            location_id=slot.name.location_id,
            start_time=slot.name.start_time,
        )
        self.compare(
            answer,
            lambda: self.model.reschedule_appointment(visit.id, slot, session, who, answer.body),
        )

    @rule(visit=visits, changer=changers)
    def cancel_appointment(self, visit: Visit, changer: str) -> None:
        caller, who = self.changing(visit, changer)
        answer = self.call(
            "cancel_appointment", caller, appointment_id=visit.id, manage_token=who.token
        )
        self.compare(answer, lambda: self.model.cancel_appointment(visit.id, who))

    def changing(self, visit: Visit, changer: str) -> tuple[str, Who]:
        """Who calls, and as whom the model knows them."""
        row = self.model.appointments[visit.id]
        if changer == "customer":
            changer = next((who for who, user in CUSTOMERS.items() if user == row.customer), "anon")
        if changer == "bearer":
            return "anon", Who(token=row.token)
        return changer, Who(CUSTOMERS.get(changer), is_service=changer == "service")

    # The tenant

    @rule(
        target=visits,
        person=people,
        start=starts,
        # A seat of the class, or something at any time and for any length.
        length=st.sampled_from((None, (0, 20), (-10, 30), (5, 90))),
        buffer=st.sampled_from((0, 0, 10)),
    )
    def insert_appointment(
        self, person: int, start: datetime, length: tuple[int, int] | None, buffer: int
    ) -> Any:
        slot = None
        if length is None:
            slot = self.slot(Wish(person, "course", start))
            time, claim = slot.time, slot.claim
        else:
            shift, minutes = length
            start += shift * MINUTE
            time = Period(start, start + minutes * MINUTE)
            claim = Period(start - buffer * MINUTE, time.end)
        return self.insert(
            Booked(
                id=uuid4(),
                slot=slot,
                staff_id=self.place.people[person],
                location_id=self.salon.location,
                time=time,
                claim=claim,
                code="course" if slot else "cut",
            )
        )

    def insert(self, row: Booked) -> Any:
        try:
            self.salon.insert(
                "appointments",
                id=row.id,
                staff_id=row.staff_id,
                location_id=row.location_id,
                appointment_type_id=self.place.services[row.code],
                slot_id=row.slot and row.slot.id,
                shape_id=row.slot and row.slot.name.shape_id,
                start_time=row.time.start,
                end_time=row.time.end,
                buffer_before_minutes=(row.time.start - row.claim.start) // MINUTE,
            )
        except psycopg.errors.ExclusionViolation:
            OUTCOMES["by hand: refused"] += 1
            assert refusal_of(lambda: self.model.insert_appointment(row)), "must be taken"
            return multiple()
        OUTCOMES["by hand: taken"] += 1
        assert refusal_of(lambda: self.model.insert_appointment(row)) is None
        self.on_record["create_appointment", None, True] += 1
        return Visit(row.id, None)

    @rule(visit=visits)
    def cancel_by_hand(self, visit: Visit) -> None:
        if self.model.appointments[visit.id].is_live:
            self.execute(
                "update booking.appointments set status = 'cancelled' where id = %s", visit.id
            )
            self.model.change(visit.id, status="cancelled")
            self.on_record["cancel_appointment", None, True] += 1

    @rule(
        target=busy,
        person=people,
        start=starts,
        change=st.sampled_from((5, 45, 180, "09:00 12:30", "10:00 11:00", "09:10 12:30")),
    )
    def change_calendar(self, person: int, start: datetime, change: int | str) -> Any:
        """So many busy minutes, or other hours on that day of the week."""
        staff_id = self.place.people[person]
        if isinstance(change, int):
            return self.salon.insert(
                "busy_times",
                staff_id=staff_id,
                start_time=start,
                end_time=start + change * MINUTE,
            )
        self.execute(
            "update booking.working_hours set start_time = %s, end_time = %s"
            " where staff_id = %s and weekday = %s",
            *(*change.split(), staff_id, start.isoweekday()),
        )
        return multiple()

    @rule(busy_time=consumes(busy))
    def remove_busy_time(self, busy_time: UUID) -> None:
        self.execute("delete from booking.busy_times where id = %s", busy_time)

    # The clock

    @rule(
        seconds=st.sampled_from((30, 30, 240, 601, 601, 601, 5400, 54_000)), cleans_up=st.booleans()
    )
    def let_time_pass(self, seconds: int, cleans_up: bool) -> None:
        self.set_clock(self.model.now + timedelta(seconds=seconds))
        if cleans_up:
            self.execute("select booking.cleanup_expired_slot_reservations()")
            assert len(self.stored_holds()) == len(self.model.holds), "none that has expired"

    # After each step

    @invariant()
    def all_is_well(self) -> None:
        self.holds_and_appointments_are_the_models()
        self.what_is_published_is_what_the_independent_calculator_says()
        self.nothing_overlaps()
        self.each_call_is_on_record_once()

    def holds_and_appointments_are_the_models(self) -> None:
        assert sorted(
            (row["slot_id"], row["session_hash"], row["seat"], row["expires_at"])
            for row in self.stored_holds()
            if row["expires_at"] > self.model.now
        ) == sorted(
            (hold.slot.id, hold.row().session_hash, hold.seat, hold.expires_at)
            for hold in self.model.holds
        )
        stored = rows(
            self.salon,
            "select id, slot_id, staff_id, start_time, end_time, seat, status, customer_id"
            " from booking.appointments",
        )
        assert {tuple(row.values()) for row in stored} == {
            (
                row.id,
                row.slot.id if row.slot else None,
                row.staff_id,
                *row.time,
                row.seat,
                row.status,
                row.customer,
            )
            for row in self.model.appointments.values()
        }

    def what_is_published_is_what_the_independent_calculator_says(self) -> None:
        self.model.calendar = self.read_calendar(self.model.now)
        days = rows(self.salon, "select staff_id, materialized_until from booking.calendars")
        until = {row["staff_id"]: row["materialized_until"] for row in days}
        for person in self.place.people:
            expected = published_slots(self.model.calendar, person, self.model.now, until[person])
            # Yesterday's rows go with the night.
            stored = [
                slot
                for slot in stored_slots(self.db, self.salon.tenant, [person])
                if self.model.day_of(slot.start_time) >= self.model.day_of(self.model.now)
            ]
            assert stored == expected
            OUTCOMES["slots compared"] += len(expected)

    def nothing_overlaps(self) -> None:
        assert overlaps(self.db) == []

    def each_call_is_on_record_once(self) -> None:
        recorded = rows(
            self.salon,
            "select action, code, coalesce((details ->> 'is_direct')::boolean, false) as is_direct,"
            " count(*) from booking.audit_log group by 1, 2, 3",
        )
        assert {
            (row["action"], row["code"], row["is_direct"]): row["count"] for row in recorded
        } == self.on_record

    # How it is done

    def call(self, function: str, who: str, **arguments: Any) -> Answer:
        """Call a function, a second after the last call: no two holds end together."""
        self.set_clock(self.model.now + timedelta(seconds=1))
        answer = call(self.salon, function, CALLERS[who], **arguments)
        self.on_record[function, answer.code, False] += 1
        OUTCOMES[f"{function}: {answer.code or 'success'}"] += 1
        OUTCOMES["calls"] += 1
        return answer

    def compare(self, answer: Answer, predict: Callable[[], None]) -> None:
        """The call has ended as the model says, which thereby learns of it."""
        assert refusal_of(predict) == answer.code, answer

    def execute(self, statement: str, *values: object) -> None:
        self.db.execute(statement.encode(), values)

    def set_clock(self, now: datetime) -> None:
        set_clock(self.db, now.isoformat())
        self.model.set_clock(now)

    def slot(self, wish: Wish) -> Slot:
        person = self.place.people[wish.person]
        shape = self.model.shape_of(wish.code)
        name = SlotName(self.salon.location, shape.id, wish.start)
        end = wish.start + shape.duration_minutes * MINUTE
        (row,) = rows(
            self.salon,
            "select booking.slot_id(%s, %s, %s, %s, %s)",
            *(self.salon.tenant, person, name.location_id, name.start_time, name.shape_id),
        )
        return Slot(
            row["slot_id"],
            person,
            name,
            Period(wish.start, end),
            Period(
                wish.start - shape.buffer_before_minutes * MINUTE,
                end + shape.buffer_after_minutes * MINUTE,
            ),
        )

    def stored_holds(self) -> list[Mapping[str, Any]]:
        return list(rows(self.salon, "select * from booking.slot_reservations"))

    def read_calendar(self, now: datetime) -> Calendar:
        today = now.date()
        return load_calendar(self.db, self.salon.tenant, today, today + timedelta(days=3))


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[Place]:
    """Two people, four services, two mornings."""
    with server.database(server.template) as url:
        with psycopg.connect(url, autocommit=True) as db:
            salon = make_salon(db)
            wash = salon.insert("appointment_types", code="wash", name="W", duration_minutes=30)
            colour = salon.insert(
                "appointment_types",
                code="colour",
                name="C",
                duration_minutes=45,
                buffer_before_minutes=5,
                buffer_after_minutes=15,
            )
            ben = salon.add_person("Ben")
            db.execute("update booking.working_hours set end_time = '12:30'")
            db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
            db.execute("update booking.tenants set booking_horizon_days = 1")
            db.execute(
                "insert into booking.staff_appointment_types"
                " (tenant_id, staff_id, appointment_type_id)"
                " select s.tenant_id, s.id, t from booking.staff s, unnest(%s::uuid[]) as t",
                ([wash, colour],),
            )
            services = {"cut": salon.cut, "wash": wash, "colour": colour, "course": salon.course}
            database = db.info.dbname
        yield Place(server, database, salon, (salon.person, ben), services)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_answer_is_the_predicted_one_and_the_slots_follow(place: Place, part: int) -> None:
    OUTCOMES.clear()
    run_machine(lambda: Visits(place), STEPS)
    print(dict(OUTCOMES))
    assert OUTCOMES["sequences"] >= SEQUENCES
    assert OUTCOMES["calls"] > SEQUENCES
    assert OUTCOMES["slots compared"] > SEQUENCES
