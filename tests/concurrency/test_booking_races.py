"""Two who want the same at the same moment, for each pair that can collide. Deterministic: the
second is really blocked (pg_stat_activity) before the first goes on, and no test waits for time to
pass. Each ends with exact slots and nothing that overlaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer, Api, Caller, customer
from tests.load import make_shop, overlaps
from tests.postgres import wait_until_blocked
from tests.salon import TEN, Salon, make_salon, set_clock

Session = psycopg.Connection[Any]
T = TypeVar("T")
Blocked = Callable[[Session, Callable[[], T]], Future[T]]

ADA = "a" * 16
BEN = "b" * 16
REAL_CLOCK = ""
AFTER_THE_HOLD = "2026-03-02 07:11+01"


def at(minutes: int) -> datetime:
    """So many minutes after ten."""
    return TEN + timedelta(minutes=minutes)


@pytest.fixture(scope="module")
def sessions(module_database_url: str) -> Iterator[list[Session]]:
    """Four superuser sessions. Kept, like the database, because each test has a tenant of its own
    and a new session is slow at first. Who waits where nobody should fails, and does not hang."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(psycopg.connect(module_database_url, autocommit=True))
            for _ in range(4)
        ]
        for session in opened:
            session.execute("set lock_timeout = '10s'")
        yield opened


@pytest.fixture
def salon(sessions: list[Session]) -> Salon:
    """A salon in the module's database."""
    return make_salon(sessions[0])


@pytest.fixture(autouse=True)
def ends_exact(salon: Salon) -> Iterator[None]:
    """Whatever happened: nothing overlaps, and what is published is what the calculator says."""
    yield
    assert salon.differences() == []
    assert overlaps(salon.db) == []


@pytest.fixture
def first(sessions: list[Session]) -> Api:
    set_clock(sessions[1])
    return Api(sessions[1])


@pytest.fixture
def second(sessions: list[Session]) -> Api:
    set_clock(sessions[2])
    return Api(sessions[2])


@pytest.fixture
def client(module_database_url: str) -> Iterator[Callable[[], Api]]:
    """Opens further sessions."""
    with ExitStack() as stack:

        def open_session() -> Api:
            session = psycopg.connect(module_database_url, autocommit=True)
            set_clock(session)
            return Api(stack.enter_context(session))

        yield open_session


@pytest.fixture
def blocked(sessions: list[Session]) -> Iterator[Blocked[Any]]:
    """Does something in a session, in the background, and returns once it waits for a lock."""
    started: list[tuple[Session, Future[Any]]] = []
    with ThreadPoolExecutor() as background:

        def run(session: Session, work: Callable[[], T]) -> Future[T]:
            running = background.submit(work)
            started.append((session, running))
            wait_until_blocked(sessions[3], session.info.backend_pid)
            return running

        yield run
        # Where a test has failed, something may still be waiting.
        for session, running in started:
            if not running.done():
                session.cancel_safe()


# What they do.


def slot_id(salon: Salon, minutes: int = 0, type_id: UUID | None = None) -> UUID:
    found: UUID = salon.slot(type_id or salon.cut, at(minutes))["slot_id"]
    return found


def reserve(api: Api, slot: UUID, session: str) -> Answer:
    return api.call("reserve_slot", ANON, slot_id=slot, session_id=session)


def reserve_time(api: Api, salon: Salon, session: str, minutes: int = 0) -> Answer:
    return api.call(
        "reserve_time",
        ANON,
        tenant_id=salon.tenant,
        start_time=at(minutes),
        appointment_type="cut",
        session_id=session,
    )


def release(api: Api, slot: UUID, session: str) -> Answer:
    return api.call("release_slot", ANON, slot_id=slot, session_id=session)


def book(
    api: Api,
    slot: UUID,
    session: str,
    code: str = "cut",
    key: str | None = None,
    notes: str | None = None,
) -> Answer:
    return api.call(
        "create_appointment",
        SERVICE,
        slot_id=slot,
        session_id=session,
        appointment_type=code,
        user_data={"name": "Ada", "email": "ada@example.org"},
        idempotency_key=key,
        notes=notes,
    )


def move(api: Api, appointment: UUID, slot: UUID, session: str | None = None) -> Answer:
    return api.call(
        "reschedule_appointment",
        SERVICE,
        appointment_id=appointment,
        slot_id=slot,
        session_id=session,
    )


def cancel(api: Api, appointment: UUID) -> Answer:
    return api.call("cancel_appointment", SERVICE, appointment_id=appointment)


def booked(salon: Salon, minutes: int = 0) -> UUID:
    """An appointment on the cut's slot."""
    return salon.insert("appointments", **salon.slot(salon.cut, at(minutes)))


def count(salon: Salon, table: str, condition: str = "true") -> int:
    row = salon.db.execute(
        f"select count(*) from booking.{table} where tenant_id = %s and {condition}".encode(),
        (salon.tenant,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def write(salon: Salon, statement: str) -> Any:
    """A statement about this tenant, whose id stands for %(tenant)s; returns its cursor."""
    return salon.db.execute(statement.encode(), {"tenant": salon.tenant})


def place(salon: Salon, appointment: UUID) -> tuple[str, UUID, datetime]:
    row = salon.db.execute(
        "select status, staff_id, start_time from booking.appointments where id = %s",
        (appointment,),
    ).fetchone()
    assert row is not None
    status, staff_id, start_time = row
    return status, staff_id, start_time


def deadlocks(*apis: Api) -> int:
    """Deadlocks in this database until now. These sessions' counts are told first."""
    for api in apis:
        api.session.execute("select pg_stat_force_next_flush()")
    row = (
        apis[0]
        .session.execute(
            "select deadlocks from pg_catalog.pg_stat_database where datname = current_database()"
        )
        .fetchone()
    )
    assert row is not None
    return int(row[0])


# Reserving against reserving.


@pytest.mark.parametrize("minutes", [0, 15, -15])
def test_of_two_sessions_that_reserve_overlapping_slots_the_second_is_refused(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer], minutes: int
) -> None:
    slot, other_slot = slot_id(salon), slot_id(salon, minutes)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: reserve(second, other_slot, BEN))
    assert late.result().code == "slot_taken"
    assert count(salon, "slot_reservations") == 1


def test_the_second_reserves_where_the_first_gives_up(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot, other_slot = slot_id(salon), slot_id(salon, 15)
    with first.session.transaction(force_rollback=True):
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: reserve(second, other_slot, BEN))
    assert late.result().success


def test_a_session_that_reserves_a_slot_twice_at_once_has_one_hold_and_the_same_answer_twice(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    with first.session.transaction():
        once = reserve(first, slot, ADA)
        again = blocked(second.session, lambda: reserve(second, slot, ADA))
    assert once.success
    assert again.result().body == once.body
    assert count(salon, "slot_reservations") == 1


def test_a_session_that_reserves_overlapping_slots_at_once_keeps_the_later(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot, other_slot = slot_id(salon), slot_id(salon, 15)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        again = blocked(second.session, lambda: reserve(second, other_slot, ADA))
    assert again.result().success
    assert count(salon, "slot_reservations", f"slot_id = '{other_slot}'") == 1
    assert count(salon, "slot_reservations") == 1


def test_a_session_that_asks_two_people_at_once_stays_within_its_number_of_holds(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    elsewhere = replace(salon, person=salon.add_person("Ben"))
    for minutes in (120, 180):
        assert reserve(first, slot_id(salon, minutes), ADA).success
    slot, other_slot = slot_id(salon), slot_id(elsewhere)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: reserve(second, other_slot, ADA))
    assert late.result().code == "hold_limit_reached"
    assert count(salon, "slot_reservations") == 3


# Reserving a time of whoever is free.


@pytest.mark.parametrize("is_kept", [True, False])
def test_of_two_who_reserve_a_time_the_second_gets_the_next_in_turn_if_the_first_keeps_theirs(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer], is_kept: bool
) -> None:
    people = sorted([salon.person, salon.add_person("Ben")])
    with first.session.transaction(force_rollback=not is_kept):
        assert reserve_time(first, salon, ADA).body["staff_id"] == str(people[0])
        late = blocked(second.session, lambda: reserve_time(second, salon, BEN))
    assert late.result().body["staff_id"] == str(people[is_kept])
    assert count(salon, "slot_reservations") == 1 + is_kept


def test_who_is_beaten_to_one_person_keeps_nobody_waiting_for_that_person(
    salon: Salon, first: Api, second: Api, client: Callable[[], Api], blocked: Blocked[Answer]
) -> None:
    people = sorted([salon.person, salon.add_person("Ben")])
    other = client()
    with salon.db.transaction():
        salon.appointment(at(120), staff_id=people[1])
        with first.session.transaction():
            assert reserve_time(first, salon, ADA).success
            late = blocked(second.session, lambda: reserve_time(second, salon, BEN))
        # It has lost the first person, and waits for the other.
        pids = (salon.db.info.backend_pid, second.session.info.backend_pid)
        while first.session.execute("select %s = any (pg_blocking_pids(%s))", pids).fetchone() != (
            True,
        ):
            assert not late.done()
        free = slot_id(replace(salon, person=people[0]), 120)
        assert reserve(other, free, "c" * 16).success
    assert late.result().body["staff_id"] == str(people[1])


def test_a_session_that_reserves_a_time_twice_at_once_gets_one_person(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    people = sorted([salon.person, salon.add_person("Ben")])
    for person, minutes in ((people[0], 120), (people[1], 120), (people[1], 180)):
        salon.appointment(at(minutes), staff_id=person)
    with first.session.transaction():
        once = reserve_time(first, salon, ADA)
        assert once.body["staff_id"] == str(people[0])
        # Now it is the other's turn.
        salon.db.execute("delete from booking.appointments where staff_id = %s", (people[1],))
        again = blocked(second.session, lambda: reserve_time(second, salon, ADA))
    assert again.result().body == once.body
    assert count(salon, "slot_reservations") == 1


# Reserving and holding against appointments written by hand.


def test_reserving_waits_for_an_appointment_written_by_hand_and_is_refused(
    salon: Salon, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    with salon.db.transaction():
        salon.appointment(at(10))
        late = blocked(second.session, lambda: reserve(second, slot, BEN))
    assert late.result().code == "slot_taken"
    assert count(salon, "slot_reservations") == 0


def test_an_appointment_written_by_hand_waits_for_the_hold_and_beats_it(
    salon: Salon, first: Api, blocked: Blocked[UUID]
) -> None:
    slot = slot_id(salon)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        by_hand = blocked(salon.db, lambda: salon.appointment(at(10)))
    by_hand.result()
    assert count(salon, "slot_reservations") == 0
    assert book(first, slot, ADA).code == "reservation_expired"


def test_booking_a_hold_that_is_being_beaten_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with salon.db.transaction():
        salon.appointment(at(10))
        late = blocked(first.session, lambda: book(first, slot, ADA))
    assert late.result().code == "reservation_expired"
    assert count(salon, "appointments") == 1


def test_booking_a_hold_goes_well_where_the_other_appointment_is_given_up(
    salon: Salon, first: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with salon.db.transaction(force_rollback=True):
        salon.appointment(at(10))
        late = blocked(first.session, lambda: book(first, slot, ADA))
    assert late.result().success


def test_an_appointment_written_by_hand_waits_for_the_booking_and_fails(
    salon: Salon, first: Api, blocked: Blocked[UUID]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA).success
        by_hand = blocked(salon.db, lambda: salon.appointment(at(10)))
    with pytest.raises(errors.ExclusionViolation):
        by_hand.result()
    assert count(salon, "appointments") == 1


# Booking against itself, releasing and cancelling.


def test_booking_a_hold_twice_at_once_makes_one_appointment(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA).success
        late = blocked(second.session, lambda: book(second, slot, ADA))
    assert late.result().code == "reservation_expired"
    assert count(salon, "appointments") == 1


def test_booking_twice_at_once_with_one_key_gets_the_same_appointment(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        once = book(first, slot, ADA, key="k")
        late = blocked(second.session, lambda: book(second, slot, ADA, key="k"))
    again = late.result()
    assert once.success
    assert again.body["appointment_id"] == once.body["appointment_id"]
    assert again.body["manage_token"] != once.body["manage_token"]
    assert count(salon, "appointments") == 1


def test_booking_different_things_at_once_with_one_key_is_refused_the_second_time(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA, key="k").success
        late = blocked(second.session, lambda: book(second, slot, ADA, key="k", notes="Window"))
    assert late.result().code == "idempotency_conflict"
    assert count(salon, "appointments") == 1


def test_booking_two_slots_at_once_with_one_key_books_one(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    """Different calendars: they meet at the key's index and nowhere else."""
    elsewhere = replace(salon, person=salon.add_person("Ben"))
    slot, other_slot = slot_id(salon), slot_id(elsewhere)
    assert reserve(first, slot, ADA).success
    assert reserve(first, other_slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA, key="k").success
        late = blocked(second.session, lambda: book(second, other_slot, ADA, key="k"))
    assert late.result().code == "idempotency_conflict"
    assert count(salon, "appointments") == 1
    assert count(salon, "slot_reservations") == 1, "the hold that was not booked stays"


def test_booking_what_is_being_released_is_refused(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert release(first, slot, ADA).success
        late = blocked(second.session, lambda: book(second, slot, ADA))
    assert late.result().code == "reservation_expired"
    assert count(salon, "appointments") == 0


def test_releasing_what_is_being_booked_is_refused(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA).success
        late = blocked(second.session, lambda: release(second, slot, ADA))
    assert late.result().code == "not_found"
    assert count(salon, "appointments") == 1


def test_booking_next_to_what_is_being_cancelled_goes_well(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot = booked(salon), slot_id(salon, 30)
    assert reserve(second, slot, BEN).success
    with first.session.transaction():
        assert cancel(first, appointment).success
        late = blocked(second.session, lambda: book(second, slot, BEN))
    assert late.result().success
    assert salon.available(salon.cut)


def test_cancelling_next_to_what_is_being_booked_goes_well(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot = booked(salon), slot_id(salon, 30)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA).success
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().success
    assert salon.available(salon.cut)


def test_what_is_being_cancelled_is_taken_until_it_is_cancelled(
    salon: Salon, first: Api, second: Api
) -> None:
    appointment, slot = booked(salon), slot_id(salon)
    with first.session.transaction():
        assert cancel(first, appointment).success
        assert reserve(second, slot, BEN).code == "slot_taken", "and nobody waits"
    assert reserve(second, slot, BEN).success


def test_cancelling_twice_at_once_cancels_once(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment = booked(salon)
    with first.session.transaction():
        assert cancel(first, appointment).success
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().code == "invalid_status"
    assert count(salon, "events", "kind = 'cancelled'") == 1


# Booking against booking of one customer, where the tenant has a limit: in two people's calendars,
# which do not wait for each other.

GRETE = {"name": "Grete", "email": "grete@example.org"}
USER = customer(UUID("00000000-0000-4000-a000-000000000001"))
# Whom the rate limiter does not count, and so does not make wait either.
USER_BY_SERVER = Caller("service_role", USER.claims)
OTHER_USER = customer(UUID("00000000-0000-4000-a000-000000000002"))
TWICE = [
    pytest.param((USER, GRETE), (USER, {"name": "G", "phone": "123"}), id="user"),
    pytest.param((USER_BY_SERVER, GRETE), (USER_BY_SERVER, GRETE), id="user by server"),
    pytest.param((SERVICE, GRETE), (SERVICE, GRETE | {"email": "GRETE@example.org"}), id="guest"),
    pytest.param(
        (SERVICE, {"name": "G", "phone": "0 12-34"}),
        (SERVICE, {"name": "G", "phone": "01234"}),
        id="guest by phone",
    ),
]
Who = tuple[Caller, dict[str, str]]


def book_for(api: Api, slot: UUID, session: str, who: Who, key: str | None = None) -> Answer:
    return api.call(
        "create_appointment",
        who[0],
        slot_id=slot,
        session_id=session,
        appointment_type="cut",
        user_data=who[1],
        idempotency_key=key,
    )


@pytest.fixture
def held(salon: Salon, first: Api) -> tuple[UUID, UUID]:
    """Slots that ADA and BEN hold with two people. One appointment per customer is allowed."""
    write(
        salon,
        "update booking.tenants set max_open_appointments_per_customer = 1 where id = %(tenant)s",
    )
    slots = slot_id(salon), slot_id(replace(salon, person=salon.add_person("Ben")))
    for slot, session in zip(slots, (ADA, BEN), strict=True):
        assert reserve(first, slot, session).success
    return slots


@pytest.mark.parametrize(("who", "again"), TWICE)
def test_of_two_bookings_of_one_customer_at_once_the_limit_lets_one_through(
    salon: Salon,
    first: Api,
    second: Api,
    blocked: Blocked[Answer],
    held: tuple[UUID, UUID],
    who: Who,
    again: Who,
) -> None:
    with first.session.transaction():
        assert book_for(first, held[0], ADA, who).success
        late = blocked(second.session, lambda: book_for(second, held[1], BEN, again))
    assert late.result().code == "customer_limit_reached"
    assert count(salon, "appointments") == 1
    assert count(salon, "slot_reservations") == 1


def test_the_second_goes_well_where_the_first_is_given_up(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer], held: tuple[UUID, UUID]
) -> None:
    with first.session.transaction(force_rollback=True):
        assert book_for(first, held[0], ADA, (SERVICE, GRETE)).success
        late = blocked(second.session, lambda: book_for(second, held[1], BEN, (SERVICE, GRETE)))
    assert late.result().success
    assert count(salon, "appointments") == 1


def test_one_request_sent_twice_at_once_is_one_booking_within_the_limit(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer], held: tuple[UUID, UUID]
) -> None:
    who = (SERVICE, GRETE)
    with first.session.transaction():
        once = book_for(first, held[0], ADA, who, "key")
        again = blocked(second.session, lambda: book_for(second, held[0], ADA, who, "key"))
    assert once.success
    assert again.result().body["appointment_id"] == once.body["appointment_id"]


@pytest.mark.parametrize(
    "other",
    [
        (USER, GRETE),
        (OTHER_USER, GRETE),
        (SERVICE, GRETE | {"email": "g@example.org"}),
        (SERVICE, {"name": "G", "phone": "123"}),
    ],
    ids=["user", "another user", "guest", "guest by phone"],
)
def test_other_customers_do_not_wait(
    first: Api, second: Api, held: tuple[UUID, UUID], other: Who
) -> None:
    with first.session.transaction():
        assert book_for(first, held[0], ADA, (SERVICE, GRETE)).success
        assert book_for(second, held[1], BEN, other).success


def test_without_a_limit_a_customer_does_not_wait_for_themselves(
    salon: Salon, first: Api, second: Api, held: tuple[UUID, UUID]
) -> None:
    write(
        salon,
        "update booking.tenants set max_open_appointments_per_customer = null"
        " where id = %(tenant)s",
    )
    with first.session.transaction():
        assert book_for(first, held[0], ADA, (SERVICE, GRETE)).success
        assert book_for(second, held[1], BEN, (SERVICE, GRETE)).success


# Moving.


def test_moving_what_is_being_cancelled_is_refused(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot = booked(salon), slot_id(salon, 120)
    with first.session.transaction():
        assert cancel(first, appointment).success
        late = blocked(second.session, lambda: move(second, appointment, slot))
    assert late.result().code == "invalid_status"
    assert place(salon, appointment) == ("cancelled", salon.person, at(0))
    assert salon.available(salon.cut, at(120))


def test_cancelling_what_is_being_moved_frees_both_times(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot = booked(salon), slot_id(salon, 120)
    with first.session.transaction():
        assert move(first, appointment, slot).success
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().success
    assert salon.available(salon.cut, at(0))
    assert salon.available(salon.cut, at(120))


def test_the_time_that_a_move_frees_is_reserved_once_it_is_free(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot, target = booked(salon), slot_id(salon), slot_id(salon, 120)
    # Whoever holds something of this person waits even for a slot that is published as taken.
    assert reserve(second, slot_id(salon, 240), BEN).success
    with first.session.transaction():
        assert move(first, appointment, target).success
        late = blocked(second.session, lambda: reserve(second, slot, BEN))
    assert late.result().success


def test_the_time_that_a_move_frees_stays_taken_where_the_move_is_given_up(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, slot, target = booked(salon), slot_id(salon), slot_id(salon, 120)
    assert reserve(second, slot_id(salon, 240), BEN).success
    with first.session.transaction(force_rollback=True):
        assert move(first, appointment, target).success
        late = blocked(second.session, lambda: reserve(second, slot, BEN))
    assert late.result().code == "slot_taken"
    assert place(salon, appointment) == ("confirmed", salon.person, at(0))


def test_reserving_what_somebody_is_moving_to_is_refused(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, target = booked(salon), slot_id(salon, 120)
    with first.session.transaction():
        assert move(first, appointment, target).success
        late = blocked(second.session, lambda: reserve(second, target, BEN))
    assert late.result().code == "slot_taken"


@pytest.mark.parametrize("minutes", [120, 135])
def test_moving_to_what_is_being_reserved_is_refused_and_the_old_time_kept(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer], minutes: int
) -> None:
    appointment, target, wanted = booked(salon), slot_id(salon, 120), slot_id(salon, minutes)
    with first.session.transaction():
        assert reserve(first, target, ADA).success
        late = blocked(second.session, lambda: move(second, appointment, wanted))
    assert late.result().code == "slot_taken"
    assert place(salon, appointment) == ("confirmed", salon.person, at(0))


def test_two_who_move_to_the_same_slot_do_not_share_it(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    one, other, target = booked(salon), booked(salon, 60), slot_id(salon, 120)
    with first.session.transaction():
        assert move(first, one, target).success
        late = blocked(second.session, lambda: move(second, other, target))
    assert late.result().code == "slot_taken"
    assert place(salon, other) == ("confirmed", salon.person, at(60))


def test_moving_to_one_s_hold_that_is_being_beaten_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer]
) -> None:
    appointment, target = booked(salon), slot_id(salon, 120)
    assert reserve(first, target, ADA).success
    with salon.db.transaction():
        salon.appointment(at(130))
        late = blocked(first.session, lambda: move(first, appointment, target, ADA))
    assert late.result().code == "slot_taken"
    assert place(salon, appointment) == ("confirmed", salon.person, at(0))


@pytest.fixture
def pair(salon: Salon) -> tuple[Salon, Salon]:
    """Two people of the salon, in the order in which their calendars are locked."""
    low, high = sorted((salon.person, salon.add_person("Ben")))
    return replace(salon, person=low), replace(salon, person=high)


def test_two_moves_in_opposite_directions_between_two_people_both_succeed(
    salon: Salon,
    pair: tuple[Salon, Salon],
    first: Api,
    second: Api,
    blocked: Blocked[Answer],
) -> None:
    here, there = pair
    deadlocks_before = deadlocks(first, second)
    going, coming = booked(here), booked(there, 60)
    target, other_target = slot_id(there), slot_id(here, 60)
    with salon.db.transaction():
        salon.db.execute("select booking.lock_calendars(%s, %s)", (salon.tenant, [here.person]))
        one = blocked(first.session, lambda: move(first, going, target))
        other = blocked(second.session, lambda: move(second, coming, other_target))
    assert one.result().success
    assert other.result().success
    assert place(salon, going) == ("confirmed", there.person, at(0))
    assert place(salon, coming) == ("confirmed", here.person, at(60))
    assert deadlocks(first, second) == deadlocks_before


def test_two_people_cannot_change_places_and_lose_nothing_by_trying(
    salon: Salon,
    pair: tuple[Salon, Salon],
    first: Api,
    second: Api,
    blocked: Blocked[Answer],
) -> None:
    here, there = pair
    one, other = booked(here), booked(there)
    slot, other_slot = slot_id(here), slot_id(there)
    with salon.db.transaction():
        salon.db.execute("select booking.lock_calendars(%s, %s)", (salon.tenant, [here.person]))
        answer = blocked(first.session, lambda: move(first, one, other_slot))
        other_answer = blocked(second.session, lambda: move(second, other, slot))
    assert answer.result().code == "slot_taken"
    assert other_answer.result().code == "slot_taken"
    assert place(salon, one) == ("confirmed", here.person, at(0))
    assert place(salon, other) == ("confirmed", there.person, at(0))


# Moved, handed over or deleted by hand against cancelled by a function.

MOVE_BY_HAND = (
    "update booking.appointments set start_time = start_time + interval '2 hours',"
    " end_time = end_time + interval '2 hours' where id = %s and status <> 'cancelled'"
)


def test_cancelling_what_is_being_moved_by_hand_frees_both_times(
    salon: Salon, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment = booked(salon)
    with salon.db.transaction():
        salon.db.execute(MOVE_BY_HAND, (appointment,))
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().success
    assert place(salon, appointment) == ("cancelled", salon.person, at(120))
    assert salon.available(salon.cut, at(0))
    assert salon.available(salon.cut, at(120))


def test_moving_by_hand_what_is_being_cancelled_finds_it_cancelled(
    salon: Salon, first: Api, blocked: Blocked[Any]
) -> None:
    appointment = booked(salon)
    with first.session.transaction():
        assert cancel(first, appointment).success
        by_hand = blocked(salon.db, lambda: salon.db.execute(MOVE_BY_HAND, (appointment,)))
    assert by_hand.result().rowcount == 0
    assert place(salon, appointment) == ("cancelled", salon.person, at(0))


def test_cancelling_what_is_being_handed_to_a_colleague_by_hand_frees_both_calendars(
    salon: Salon, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment = booked(salon)
    colleague = replace(salon, person=salon.add_person("Ben"))
    with salon.db.transaction():
        write(
            salon,
            f"update booking.appointments set staff_id = '{colleague.person}'"
            " where tenant_id = %(tenant)s",
        )
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().success
    assert place(salon, appointment) == ("cancelled", colleague.person, at(0))
    assert salon.available(salon.cut)
    assert colleague.available(salon.cut)


def test_moving_by_function_what_is_being_moved_by_hand_starts_from_where_it_is_then(
    salon: Salon, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment, target = booked(salon), slot_id(salon, 240)
    with salon.db.transaction():
        salon.db.execute(MOVE_BY_HAND, (appointment,))
        late = blocked(second.session, lambda: move(second, appointment, target))
    assert late.result().success
    assert place(salon, appointment) == ("confirmed", salon.person, at(240))
    for minutes in (0, 120):
        assert salon.available(salon.cut, at(minutes))


def test_cancelling_what_is_being_deleted_finds_nothing(
    salon: Salon, second: Api, blocked: Blocked[Answer]
) -> None:
    appointment = booked(salon)
    with salon.db.transaction():
        write(salon, "delete from booking.appointments where tenant_id = %(tenant)s")
        late = blocked(second.session, lambda: cancel(second, appointment))
    assert late.result().code == "not_found"


# Holds that expire.


def test_reserving_waits_for_the_cleanup_of_the_expired_hold_and_succeeds(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    salon.db.execute("delete from booking.slot_reservations")
    assert reserve(first, slot, ADA).success
    for api in (first, second):
        set_clock(api.session, AFTER_THE_HOLD)
    with first.session.transaction():
        assert cleaned_up(first) == 1
        late = blocked(second.session, lambda: reserve(second, slot, BEN))
    assert late.result().success
    assert count(salon, "slot_reservations") == 1


def test_the_cleanup_waits_for_nobody_and_leaves_the_calendar_to_whoever_reserves(
    salon: Salon, first: Api, second: Api
) -> None:
    slot = slot_id(salon)
    salon.db.execute("delete from booking.slot_reservations")
    assert reserve(first, slot, ADA).success
    for api in (first, second):
        set_clock(api.session, AFTER_THE_HOLD)
    with second.session.transaction():
        assert reserve(second, slot, BEN).success
        assert cleaned_up(first) == 0
    assert cleaned_up(first) == 0
    assert count(salon, "slot_reservations") == 1, "of two, the expired one is gone"


def cleaned_up(api: Api) -> int:
    row = api.session.execute("select booking.cleanup_expired_slot_reservations()").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("function", ["book", "release", "reserve"])
def test_a_hold_that_expires_while_its_session_waits_for_the_lock_is_no_more(
    client: Callable[[], Api], blocked: Blocked[Answer], function: str
) -> None:
    """By the real clock: the hold ends at a moment that lies after the call began to wait and
    before it goes on. Whoever read the clock before the lock would take it for alive."""
    waiting, holder = client(), client()
    for api in (waiting, holder):
        set_clock(api.session, REAL_CLOCK)
    shop = make_shop(holder.session)
    row = shop.db.execute(
        "select s.id from booking.availability_slots s join booking.appointment_types t"
        " on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
        " where t.id = %s and s.is_available and s.bookable_until > now() + interval '1 day'"
        " order by s.start_time limit 1",
        (shop.cut,),
    ).fetchone()
    assert row is not None
    slot: UUID = row[0]
    held = reserve(waiting, slot, ADA)
    assert held.success
    call = {"book": book, "release": release, "reserve": reserve}[function]
    with shop.db.transaction():
        write(
            shop,
            "select booking.lock_calendars(tenant_id, array[staff_id])"
            " from booking.slot_reservations where tenant_id = %(tenant)s",
        )
        late = blocked(waiting.session, lambda: call(waiting, slot, ADA))
        write(
            shop,
            "update booking.slot_reservations set expires_at = clock_timestamp()"
            " where tenant_id = %(tenant)s",
        )
    answer = late.result()
    if function == "reserve":
        assert answer.success
        assert answer.body["reserved_until"] > held.body["reserved_until"], "held anew"
    else:
        assert answer.code == {"book": "reservation_expired", "release": "not_found"}[function]
    assert count(shop, "appointments") == 0
    assert shop.differences() == []


# Booking against what the tenant changes.

CLOSING = [
    pytest.param("delete from booking.working_hours where tenant_id = %(tenant)s", id="no hours"),
    pytest.param(
        "update booking.working_hours set start_time = '10:20' where tenant_id = %(tenant)s",
        id="later hours",
    ),
    pytest.param(
        "insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source)"
        " select tenant_id, id, '2026-03-03 10:20+01', '2026-03-03 11:00+01', 'calendar'"
        " from booking.staff where tenant_id = %(tenant)s",
        id="busy",
    ),
]


@pytest.mark.parametrize("closing", CLOSING)
def test_booking_a_hold_while_its_time_is_being_closed_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer], closing: str
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with salon.db.transaction():
        write(salon, closing)
        late = blocked(first.session, lambda: book(first, slot, ADA))
    assert late.result().code == "appointment_conflict"
    assert count(salon, "appointments") == 0
    assert count(salon, "slot_reservations") == 1, "what was refused is undone as a whole"


@pytest.mark.parametrize("closing", CLOSING)
def test_reserving_a_time_that_is_being_closed_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer], closing: str
) -> None:
    slot = slot_id(salon)
    with salon.db.transaction():
        write(salon, closing)
        late = blocked(first.session, lambda: reserve(first, slot, ADA))
    assert late.result().code == "slot_taken"


@pytest.mark.parametrize("closing", CLOSING)
def test_moving_to_a_time_that_is_being_closed_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer], closing: str
) -> None:
    appointment, target = booked(salon, 120), slot_id(salon)
    with salon.db.transaction():
        write(salon, closing)
        late = blocked(first.session, lambda: move(first, appointment, target))
    assert late.result().code == "slot_taken"
    assert place(salon, appointment) == ("confirmed", salon.person, at(120))


@pytest.mark.parametrize("closing", CLOSING)
def test_a_time_that_is_closed_while_it_is_being_booked_keeps_the_appointment(
    salon: Salon, first: Api, blocked: Blocked[Any], closing: str
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with first.session.transaction():
        assert book(first, slot, ADA).success
        change = blocked(salon.db, lambda: write(salon, closing))
    change.result()
    assert count(salon, "appointments", "status = 'confirmed'") == 1
    assert not salon.available(salon.cut)


def test_a_service_that_is_withdrawn_while_its_slot_is_being_booked_is_refused(
    salon: Salon, first: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon)
    assert reserve(first, slot, ADA).success
    with salon.db.transaction():
        write(
            salon,
            "update booking.appointment_types set is_active = false"
            " where tenant_id = %(tenant)s and code = 'cut'",
        )
        late = blocked(first.session, lambda: book(first, slot, ADA))
    assert late.result().code == "appointment_conflict"
    assert count(salon, "appointments") == 0


# Classes.


def set_capacity(salon: Salon, capacity: int) -> None:
    salon.db.execute(
        "update booking.appointment_types set capacity = %s where id = %s",
        (capacity, salon.course),
    )


@pytest.fixture
def one_seat_left(salon: Salon) -> UUID:
    """The slot of a class of two, with one attendee."""
    set_capacity(salon, 2)
    salon.insert("appointments", **salon.slot(salon.course))
    return slot_id(salon, type_id=salon.course)


def test_the_last_seat_is_reserved_once(
    salon: Salon, one_seat_left: UUID, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    with first.session.transaction():
        assert reserve(first, one_seat_left, ADA).success
        late = blocked(second.session, lambda: reserve(second, one_seat_left, BEN))
    assert late.result().code == "slot_taken"


def test_the_last_but_one_seat_leaves_one(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(salon, type_id=salon.course)
    with first.session.transaction():
        seat = reserve(first, slot, ADA)
        late = blocked(second.session, lambda: reserve(second, slot, BEN))
    assert (seat.body["seat"], late.result().body["seat"]) == (1, 2)


def test_the_last_seat_written_by_hand_while_it_is_being_held_is_refused(
    salon: Salon, one_seat_left: UUID, first: Api, blocked: Blocked[UUID]
) -> None:
    guest = salon.slot(salon.course)
    with first.session.transaction():
        assert reserve(first, one_seat_left, ADA).success
        by_hand = blocked(salon.db, lambda: salon.insert("appointments", **guest))
    with pytest.raises(errors.ExclusionViolation, match="all 2 seats"):
        by_hand.result()
    assert book(first, one_seat_left, ADA, "course").success


def test_the_last_seat_that_is_being_taken_by_hand_is_not_reserved(
    salon: Salon, one_seat_left: UUID, second: Api, blocked: Blocked[Answer]
) -> None:
    guest = salon.slot(salon.course)
    with salon.db.transaction():
        salon.insert("appointments", **guest)
        late = blocked(second.session, lambda: reserve(second, one_seat_left, BEN))
    assert late.result().code == "slot_taken"


def test_a_seat_that_is_being_given_up_by_cancelling_is_had_afterwards(
    salon: Salon, one_seat_left: UUID, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    assert reserve(first, one_seat_left, ADA).success
    leaving = UUID(book(first, one_seat_left, ADA, "course").body["appointment_id"])
    # Whoever holds something of this person waits even for a class that is published as full.
    assert reserve(second, slot_id(salon, 240), BEN).success
    with first.session.transaction():
        assert cancel(first, leaving).success
        late = blocked(second.session, lambda: reserve(second, one_seat_left, BEN))
    assert late.result().body["seat"] == 2


@pytest.mark.parametrize(("capacity", "code"), [(1, "slot_taken"), (3, None)])
def test_a_seat_is_reserved_by_the_number_of_seats_that_is_being_set(
    salon: Salon,
    one_seat_left: UUID,
    first: Api,
    second: Api,
    blocked: Blocked[Answer],
    capacity: int,
    code: str | None,
) -> None:
    """Raised, the waiting one is the third guest; lowered, one is too many already."""
    if capacity == 3:
        assert reserve(first, one_seat_left, ADA).success
        assert reserve(second, slot_id(salon, 240), BEN).success
    with salon.db.transaction():
        set_capacity(salon, capacity)
        late = blocked(second.session, lambda: reserve(second, one_seat_left, BEN))
    assert late.result().code == code


@pytest.mark.parametrize(
    "change",
    [
        "update booking.appointment_types set capacity = 3"
        " where tenant_id = %(tenant)s and code = 'course'",
        "update booking.appointment_types set slot_step_minutes = 30"
        " where tenant_id = %(tenant)s and code = 'course'",
        "update booking.tenants set slot_step_minutes = 30 where id = %(tenant)s",
    ],
    ids=["capacity", "step", "the tenant's step"],
)
def test_changing_a_class_and_taking_a_seat_in_it_never_wait_for_each_other(
    salon: Salon, first: Api, second: Api, blocked: Blocked[Any], change: str
) -> None:
    """Who changes it has its shape and wants the calendar; who takes a seat has the calendar and
    asks, by foreign key, that the shape be there."""
    slot = slot_id(salon, type_id=salon.course)
    before = deadlocks(first, second)
    with first.session.transaction():
        # As far as any booker comes before it writes.
        first.session.execute(
            "select booking.lock_calendars(%s, %s)", (salon.tenant, [salon.person])
        )
        changing = blocked(
            second.session,
            lambda: second.session.execute(change.encode(), {"tenant": salon.tenant}),
        )
        assert reserve(first, slot, ADA).success
    changing.result()
    assert deadlocks(first, second) == before


# Two places, and the way between them.


@pytest.fixture
def elsewhere(salon: Salon) -> UUID:
    """Another place where the person works; it takes an hour to get there, and an hour back."""
    place = salon.insert("locations", name="Potsdam")
    write(
        salon,
        "insert into booking.working_hours"
        " (tenant_id, staff_id, location_id, weekday, start_time, end_time)"
        " select h.tenant_id, h.staff_id, l.id, h.weekday, h.start_time, h.end_time"
        " from booking.working_hours h join booking.locations l using (tenant_id)"
        " where h.tenant_id = %(tenant)s and l.id <> h.location_id",
    )
    salon.insert("travel_times", from_location_id=salon.location, to_location_id=place, minutes=60)
    return place


def slot_there(salon: Salon, place: UUID, minutes: int = 0) -> UUID:
    """The cut's slot at a place."""
    row = salon.db.execute(
        "select s.id from booking.availability_slots s join booking.appointment_types t"
        " on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
        " where s.tenant_id = %s and t.id = %s and s.location_id = %s and s.start_time = %s",
        (salon.tenant, salon.cut, place, at(minutes)),
    ).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


def written(api: Api, salon: Salon, place: UUID, minutes: int = 0) -> Any:
    """Half an hour at a place, by hand, in that session: its id, or why it failed."""
    try:
        return replace(salon, db=api.session).appointment(at(minutes), location_id=place)
    except errors.ExclusionViolation as error:
        return error.diag.message_primary


@pytest.mark.parametrize(
    ("minutes", "is_kept", "lives"),
    [(89, True, 1), (90, True, 2), (89, False, 1)],
    ids=["too near", "just far enough", "too near to what is given up"],
)
def test_of_two_appointments_written_by_hand_at_two_places_the_second_leaves_the_way(
    salon: Salon,
    elsewhere: UUID,
    first: Api,
    second: Api,
    blocked: Blocked[Any],
    minutes: int,
    is_kept: bool,
    lives: int,
) -> None:
    with first.session.transaction(force_rollback=not is_kept):
        assert isinstance(written(first, salon, salon.location), UUID)
        late = blocked(second.session, lambda: written(second, salon, elsewhere, minutes))
    if is_kept and minutes < 90:
        assert "at Potsdam leaves no time to travel" in late.result()
    else:
        assert isinstance(late.result(), UUID)
    assert count(salon, "appointments") == lives


def test_an_appointment_moved_by_hand_to_another_place_leaves_the_way_to_what_is_being_written(
    salon: Salon, elsewhere: UUID, first: Api, second: Api, blocked: Blocked[Any]
) -> None:
    made = salon.appointment(at(60))

    def move_there() -> None:
        second.session.execute(
            "update booking.appointments set location_id = %s where id = %s", (elsewhere, made)
        )

    with first.session.transaction():
        assert isinstance(written(first, salon, salon.location), UUID)
        late = blocked(second.session, move_there)
    with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
        late.result()
    assert count(salon, "appointments", f"location_id = '{elsewhere}'") == 0


@pytest.mark.parametrize(("minutes", "code"), [(75, "slot_taken"), (90, None)])
def test_of_two_sessions_that_reserve_at_two_places_the_second_leaves_the_way(
    salon: Salon,
    elsewhere: UUID,
    first: Api,
    second: Api,
    blocked: Blocked[Answer],
    minutes: int,
    code: str | None,
) -> None:
    slot, other_slot = slot_there(salon, salon.location), slot_there(salon, elsewhere, minutes)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: reserve(second, other_slot, BEN))
    assert late.result().code == code
    assert count(salon, "slot_reservations") == (1 if code else 2)


@pytest.mark.parametrize(("minutes", "is_kept"), [(89, False), (90, True)])
def test_an_appointment_written_by_hand_waits_for_the_hold_at_another_place_and_beats_it(
    salon: Salon,
    elsewhere: UUID,
    first: Api,
    second: Api,
    blocked: Blocked[Any],
    minutes: int,
    is_kept: bool,
) -> None:
    slot = slot_there(salon, salon.location)
    with first.session.transaction():
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: written(second, salon, elsewhere, minutes))
    assert isinstance(late.result(), UUID)
    assert count(salon, "slot_reservations") == is_kept
    assert book(first, slot, ADA).code == (None if is_kept else "reservation_expired")


@pytest.mark.parametrize("is_kept", [True, False])
def test_reserving_waits_for_an_appointment_being_written_at_another_place(
    salon: Salon,
    elsewhere: UUID,
    first: Api,
    second: Api,
    blocked: Blocked[Any],
    is_kept: bool,
) -> None:
    slot = slot_there(salon, elsewhere, 75)
    with first.session.transaction(force_rollback=not is_kept):
        assert isinstance(written(first, salon, salon.location), UUID)
        late = blocked(second.session, lambda: reserve(second, slot, ADA))
    assert late.result().code == ("slot_taken" if is_kept else None)


def test_booking_a_hold_waits_for_the_way_that_is_being_found(
    salon: Salon, elsewhere: UUID, first: Api, second: Api, blocked: Blocked[Any]
) -> None:
    salon.appointment()
    slot = slot_there(salon, elsewhere, 90)
    assert reserve(second, slot, ADA).success
    with first.session.transaction():
        first.session.execute(
            "update booking.travel_times set minutes = 61 where tenant_id = %s", (salon.tenant,)
        )
        late = blocked(second.session, lambda: book(second, slot, ADA))
    assert late.result().code == "appointment_conflict"
    assert count(salon, "appointments") == 1


# The last place of a day.


@pytest.fixture
def two_a_day(salon: Salon) -> Salon:
    """The person takes two appointments a day and has one."""
    salon.appointment(at(-60))
    write(
        salon, "update booking.staff set max_appointments_per_day = 2 where tenant_id = %(tenant)s"
    )
    return salon


@pytest.mark.parametrize("is_kept", [True, False])
def test_the_last_place_of_a_day_is_reserved_once(
    two_a_day: Salon, first: Api, second: Api, blocked: Blocked[Answer], is_kept: bool
) -> None:
    slot, other_slot = slot_id(two_a_day), slot_id(two_a_day, 120)
    with first.session.transaction(force_rollback=not is_kept):
        assert reserve(first, slot, ADA).success
        late = blocked(second.session, lambda: reserve(second, other_slot, BEN))
    assert late.result().code == ("slot_taken" if is_kept else None)
    assert count(two_a_day, "slot_reservations") == 1


def test_nobody_moves_to_the_last_place_of_a_day_that_is_being_reserved(
    two_a_day: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    made, slot = booked(two_a_day, 24 * 60), slot_id(two_a_day, 120)
    with first.session.transaction():
        assert reserve(first, slot_id(two_a_day), ADA).success
        late = blocked(second.session, lambda: move(second, made, slot))
    assert late.result().code == "slot_taken"
    assert place(two_a_day, made)[2] == at(24 * 60)


def test_the_last_place_of_a_day_can_be_booked_while_the_limit_is_lowered(
    two_a_day: Salon, first: Api, second: Api, blocked: Blocked[Answer]
) -> None:
    slot = slot_id(two_a_day)
    assert reserve(second, slot, ADA).success
    with first.session.transaction():
        first.session.execute(
            "update booking.staff set max_appointments_per_day = 1 where tenant_id = %s",
            (two_a_day.tenant,),
        )
        late = blocked(second.session, lambda: book(second, slot, ADA))
    assert late.result().success


# Payments.


@pytest.fixture
def unpaid(salon: Salon) -> UUID:
    """An appointment whose payment is due."""
    return salon.insert(
        "appointments",
        **salon.slot(salon.cut),
        status="pending",
        payment_status="pending",
        payment_due_at=datetime.fromisoformat("2026-03-02 06:59+01:00"),
    )


def pay(api: Api, appointment: UUID) -> Answer:
    return api.call(
        "record_payment",
        SERVICE,
        appointment_id=appointment,
        payment_status="paid",
        payment_reference="p",
    )


def test_a_payment_that_comes_while_the_unpaid_appointment_is_released_is_too_late(
    salon: Salon, unpaid: UUID, first: Api, blocked: Blocked[Answer]
) -> None:
    with salon.db.transaction():
        assert salon.db.execute("select booking.release_unpaid_appointments()").fetchone() == (1,)
        late = blocked(first.session, lambda: pay(first, unpaid))
    assert late.result().code == "too_late"
    assert salon.available(salon.cut)


def test_an_appointment_that_is_being_paid_is_not_released(
    salon: Salon, unpaid: UUID, first: Api
) -> None:
    with first.session.transaction():
        assert pay(first, unpaid).success
        assert salon.db.execute("select booking.release_unpaid_appointments()").fetchone() == (0,)
    assert salon.db.execute("select booking.release_unpaid_appointments()").fetchone() == (0,)
    assert place(salon, unpaid) == ("confirmed", salon.person, at(0))


# Waiting in vain.


def test_who_waits_too_long_for_the_lock_is_told_so_and_it_is_on_record(
    salon: Salon, first: Api, client: Callable[[], Api], blocked: Blocked[Answer]
) -> None:
    """Every function at once, so that their two seconds are the same."""
    held, to_move, to_cancel, to_pay = (
        slot_id(salon, 60),
        booked(salon, 120),
        booked(salon, 180),
        booked(salon, 240),
    )
    free, target = slot_id(salon), slot_id(salon, 300)
    assert reserve(first, held, ADA).success
    calls: dict[str, Callable[[Api], Answer]] = {
        "reserve_slot": lambda api: reserve(api, free, BEN),
        "reserve_time": lambda api: reserve_time(api, salon, "c" * 16),
        "release_slot": lambda api: release(api, held, ADA),
        "create_appointment": lambda api: book(api, held, ADA),
        "reschedule_appointment": lambda api: move(api, to_move, target),
        "cancel_appointment": lambda api: cancel(api, to_cancel),
        "record_payment": lambda api: pay(api, to_pay),
    }
    with salon.db.transaction():
        salon.appointment(at(360))
        salon.db.execute("select from booking.appointments where id = %s for update", (to_pay,))
        waiting = []
        for call in calls.values():
            api = client()
            # Supabase's limit for anonymous callers. Beyond it, nothing would be on record.
            api.session.execute("set statement_timeout = '3s'")
            waiting.append(blocked(api.session, partial(call, api)))
        answers = [each.result() for each in waiting]

    assert [(answer.status, answer.code) for answer in answers] == [(503, "busy")] * len(calls)
    assert [answer.headers for answer in answers] == [{"Retry-After": "1"}] * len(calls)
    recorded = salon.db.execute(
        "select action, outcome from booking.audit_log where code = 'busy' and tenant_id = %s",
        (salon.tenant,),
    ).fetchall()
    assert sorted(recorded) == sorted((function, "refused") for function in calls)
    assert count(salon, "slot_reservations") == 1
    assert count(salon, "appointments", "status = 'confirmed'") == 4


def test_a_deadlock_with_a_statement_over_many_rows_is_tried_again_and_succeeds(
    salon: Salon,
    pair: tuple[Salon, Salon],
    client: Callable[[], Api],
    blocked: Blocked[Any],
) -> None:
    """The statement has one appointment and its calendar, and wants the other appointment; the
    move has that one and wants the calendar. The move is the victim, because it looks first."""
    target_person, person = pair
    first, second = client(), client()
    deadlocks_before = deadlocks(first, second)
    early, late = booked(person), booked(person, 120)
    target = slot_id(target_person, 240)
    first.session.execute("set deadlock_timeout = '10ms'")
    second.session.execute("set deadlock_timeout = '1min'")
    with salon.db.transaction():
        # Holds the move up between the appointment's row and the calendar that the other has.
        salon.db.execute(
            "select booking.lock_calendars(%s, %s)", (salon.tenant, [target_person.person])
        )
        moving = blocked(first.session, lambda: move(first, late, target))
        by_hand = blocked(
            second.session,
            lambda: second.session.execute(
                "update booking.appointments set start_time = start_time + interval '5 minutes',"
                " end_time = end_time + interval '5 minutes'"
                " where tenant_id = %s and staff_id = %s",
                (person.tenant, person.person),
            ),
        )
    assert by_hand.result().rowcount == 2
    assert moving.result().success
    assert deadlocks(first, second) == deadlocks_before + 1, "or nothing is proved"
    assert place(salon, early) == ("confirmed", person.person, at(5))
    assert place(salon, late) == ("confirmed", target_person.person, at(240))
    assert (
        count(salon, "audit_log", "action = 'reschedule_appointment' and outcome = 'refused'") == 0
    )
