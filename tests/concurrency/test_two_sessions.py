"""Two sessions at the same moment, deterministically: each test waits until the other one is really
blocked (pg_stat_activity), never for time to pass. Afterwards the slots are exact, or queued."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.salon import TEN, Salon, set_clock

Session = psycopg.Connection[Any]


@pytest.fixture
def other(connect: Callable[[], Session], salon: Salon) -> Session:
    """A second session with the same clock."""
    session = connect()
    set_clock(session)
    return session


@pytest.fixture
def meanwhile(
    wait_until_blocked: Callable[[int], None],
) -> Iterator[Callable[..., Future[Any]]]:
    """Runs a statement in a session, in the background, until it waits for a lock."""
    started: list[tuple[Session, Future[Any]]] = []
    with ThreadPoolExecutor() as background:

        def run(session: Session, sql: str, *values: object) -> Future[Any]:
            running = background.submit(session.execute, sql.encode(), values)
            started.append((session, running))
            wait_until_blocked(session.info.backend_pid)
            return running

        yield run
        # Where a test has failed, something may still be waiting.
        for session, running in started:
            if not running.done():
                session.cancel_safe()


INSERT = (
    "insert into booking.appointments"
    " (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)"
    " values (%s, %s, %s, %s, %s, %s)"
)


def appointment(salon: Salon, minutes: int, length: int = 30) -> tuple[object, ...]:
    """Values for INSERT: an appointment so many minutes after ten."""
    start = TEN + timedelta(minutes=minutes)
    return (
        *(salon.tenant, salon.person, salon.location, salon.cut),
        *(start, start + timedelta(minutes=length)),
    )


def test_cancelling_and_booking_next_to_it_leaves_exact_slots(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.appointment()
    salon.db.execute("begin")
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    booking = meanwhile(other, INSERT, *appointment(salon, 30))
    salon.db.execute("commit")
    booking.result()
    assert salon.differences() == []
    assert salon.available(salon.cut)
    assert not salon.available(salon.cut, TEN + timedelta(minutes=30))


def test_booking_and_cancelling_the_neighbour_leaves_exact_slots(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.appointment()
    salon.db.execute("begin")
    salon.db.execute(INSERT, appointment(salon, 30))
    cancelling = meanwhile(
        other, "update booking.appointments set status = 'cancelled' where start_time = %s", TEN
    )
    salon.db.execute("commit")
    cancelling.result()
    assert salon.differences() == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_with_an_old_snapshot_one_fails_cleanly(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]], level: str
) -> None:
    salon.appointment()
    other.execute(f"begin isolation level {level}".encode())
    other.execute("select count(*) from booking.availability_slots")
    salon.db.execute("begin")
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    booking = meanwhile(other, INSERT, *appointment(salon, 30))
    salon.db.execute("commit")
    with pytest.raises(errors.SerializationFailure):
        booking.result()
    other.execute("rollback")
    other.execute(INSERT, appointment(salon, 30))
    assert salon.differences() == []


def test_of_two_overlapping_inserts_one_succeeds(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.db.execute("begin")
    salon.db.execute(INSERT, appointment(salon, 0))
    second = meanwhile(other, INSERT, *appointment(salon, 15))
    salon.db.execute("commit")
    with pytest.raises(errors.ExclusionViolation):
        second.result()
    assert salon.differences() == []


def test_the_second_of_two_overlapping_inserts_succeeds_where_the_first_gives_up(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.db.execute("begin")
    salon.db.execute(INSERT, appointment(salon, 0))
    second = meanwhile(other, INSERT, *appointment(salon, 15))
    salon.db.execute("rollback")
    second.result()
    assert salon.differences() == []


def test_the_last_seat_is_given_once(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    seat = salon.slot(salon.course)
    columns, places = ", ".join(seat), ", ".join(["%s"] * (len(seat) + 1))
    insert = f"insert into booking.appointments (tenant_id, {columns}) values ({places})"
    salon.insert("appointments", **seat)
    salon.db.execute("begin")
    salon.insert("appointments", **seat)
    late = meanwhile(other, insert, salon.tenant, *seat.values())
    salon.db.execute("commit")
    with pytest.raises(errors.ExclusionViolation, match="all 2 seats"):
        late.result()
    assert salon.differences() == []


def test_a_hold_placed_while_the_time_is_booked_is_refused(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    slot = salon.slot(salon.cut)
    salon.db.execute("begin")
    salon.db.execute(INSERT, appointment(salon, 10))
    hold = meanwhile(
        other,
        "insert into booking.slot_reservations (tenant_id, staff_id, location_id,"
        " appointment_type_id, shape_id, slot_id, start_time, session_hash, expires_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, sha256('s'), booking.now() + interval '10 minutes')",
        salon.tenant,
        *[slot[name] for name in ("staff_id", "location_id", "appointment_type_id")],
        *[slot[name] for name in ("shape_id", "slot_id", "start_time")],
    )
    salon.db.execute("commit")
    with pytest.raises(errors.ExclusionViolation, match="overlap a live appointment"):
        hold.result()
    assert salon.differences() == []


def test_an_appointment_booked_while_the_time_is_being_held_beats_the_hold(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.db.execute("begin")
    salon.hold(salon.cut)
    booking = meanwhile(other, INSERT, *appointment(salon, 10))
    salon.db.execute("commit")
    booking.result()
    assert salon.db.execute("select count(*) from booking.slot_reservations").fetchone() == (0,)
    assert salon.differences() == []


ASSIGN = (
    "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
    " values (%s, %s, %s)"
)
LENGTHEN = "update booking.appointment_types set duration_minutes = 45 where code = 'cut'"


def unassign(salon: Salon) -> tuple[object, ...]:
    salon.db.execute("delete from booking.staff_appointment_types")
    return (salon.tenant, salon.person, salon.cut)


def test_assigning_a_type_whose_duration_is_being_changed_ends_exact(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    assignment = unassign(salon)
    salon.db.execute("begin")
    salon.db.execute(LENGTHEN)
    assigning = meanwhile(other, ASSIGN, *assignment)
    salon.db.execute("commit")
    assigning.result()
    assert salon.differences() == []
    assert salon.available(salon.cut)


def test_changing_the_duration_of_a_type_that_is_being_assigned_ends_exact(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    assignment = unassign(salon)
    salon.db.execute("begin")
    salon.db.execute(ASSIGN, assignment)
    lengthening = meanwhile(other, LENGTHEN)
    salon.db.execute("commit")
    lengthening.result()
    assert salon.differences() == []
    assert salon.available(salon.cut)


def test_assigning_with_an_old_snapshot_fails_cleanly(salon: Salon, other: Session) -> None:
    assignment = unassign(salon)
    other.execute("begin isolation level repeatable read")
    other.execute("select count(*) from booking.appointment_types")
    salon.db.execute(LENGTHEN)
    with pytest.raises(errors.SerializationFailure):
        other.execute(ASSIGN, assignment)
    other.execute("rollback")
    assert salon.differences() == []


def queue_everyone(salon: Salon) -> None:
    for number in range(20):
        salon.add_person(f"S{number}")
    salon.db.execute("update booking.tenants set slot_step_minutes = 30")


def queued(salon: Salon) -> int:
    row = salon.db.execute("select count(*) from booking.refresh_queue").fetchone()
    assert row is not None
    return int(row[0])


def test_a_wide_change_while_the_queue_is_drained_queues_anew(
    salon: Salon,
    other: Session,
    connect: Callable[[], Session],
    meanwhile: Callable[..., Future[Any]],
) -> None:
    queue_everyone(salon)
    assert queued(salon) == 21
    # The drain has an entry in its hands and waits for that calendar, which a booking has locked.
    first = salon.db.execute(
        "select staff_id from booking.refresh_queue order by queued_at, staff_id limit 1"
    ).fetchone()
    assert first is not None
    salon.db.execute("begin")
    salon.appointment(staff_id=first[0])
    drain = meanwhile(other, "call booking.drain_refresh_queue()")
    third = connect()
    set_clock(third)
    change = meanwhile(third, "update booking.tenants set slot_step_minutes = 60")
    salon.db.execute("commit")
    drain.result()
    change.result()
    assert salon.differences() == []
    salon.db.execute("call booking.drain_refresh_queue()")
    assert queued(salon) == 0
    assert salon.differences() == []
    steps = salon.db.execute(
        "select count(*) from booking.availability_slots where extract(minute from start_time) = 30"
    ).fetchone()
    assert steps == (0,), "everyone stands on the last change"


def test_two_drains_share_the_queue(
    salon: Salon,
    other: Session,
    connect: Callable[[], Session],
    meanwhile: Callable[..., Future[Any]],
) -> None:
    queue_everyone(salon)
    first = salon.db.execute(
        "select staff_id from booking.refresh_queue order by queued_at, staff_id limit 1"
    ).fetchone()
    assert first is not None
    salon.db.execute("begin")
    salon.appointment(staff_id=first[0])
    drain = meanwhile(other, "call booking.drain_refresh_queue()")
    second = connect()
    set_clock(second)
    second.execute("call booking.drain_refresh_queue()")
    assert queued(salon) == 1, "the second skipped what the first has in its hands"
    salon.db.execute("commit")
    drain.result()
    assert queued(salon) == 0
    assert salon.differences() == []


def test_hours_changed_while_an_appointment_is_booked_end_exact(
    salon: Salon, other: Session, meanwhile: Callable[..., Future[Any]]
) -> None:
    salon.db.execute("begin")
    salon.appointment()
    change = meanwhile(other, "update booking.working_hours set start_time = '10:10'")
    salon.db.execute("commit")
    change.result()
    assert salon.differences() == []


def test_a_calendar_is_locked_once_in_a_transaction(salon: Salon) -> None:
    revision = "select revision from booking.calendars"
    before = salon.db.execute(revision).fetchone()
    assert before is not None
    salon.db.execute("begin")
    for number in range(5):
        salon.appointment(TEN + timedelta(hours=number))
    salon.db.execute("commit")
    assert salon.db.execute(revision).fetchone() == (before[0] + 1,)


def test_nor_more_than_once_where_savepoints_wrote_it(salon: Salon) -> None:
    revision = "select revision from booking.calendars"
    before = salon.db.execute(revision).fetchone()
    assert before is not None
    with salon.db.transaction():
        with salon.db.transaction():
            salon.appointment()
            salon.appointment(TEN + timedelta(hours=1))
        with salon.db.transaction():
            salon.appointment(TEN + timedelta(hours=2))
    assert salon.db.execute(revision).fetchone() == (before[0] + 1,)


def test_a_savepoint_that_is_rolled_back_leaves_no_lock_to_rely_on(salon: Salon) -> None:
    revision = "select revision from booking.calendars"
    before = salon.db.execute(revision).fetchone()
    assert before is not None
    with salon.db.transaction():
        with salon.db.transaction(force_rollback=True):
            salon.appointment()
        assert salon.db.execute(revision).fetchone() == before
        salon.appointment()
        assert salon.db.execute(revision).fetchone() == (before[0] + 1,)
    assert salon.differences() == []


def test_neighbours_booked_and_cancelled_at_random_by_eight_sessions_leave_exact_slots(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    sessions = [connect() for _ in range(8)]
    outcomes: list[str] = []

    def work(number: int) -> None:
        session = sessions[number]
        set_clock(session)
        for turn in range(15):
            minutes = 15 * ((7 * number + 5 * turn) % 24)
            try:
                session.execute(INSERT, appointment(salon, minutes, 45))
                outcomes.append("booked")
            except errors.ExclusionViolation:
                outcomes.append("refused")
            cancelled = session.execute(
                "update booking.appointments set status = 'cancelled'"
                " where start_time = %s and status <> 'cancelled'",
                (TEN + timedelta(minutes=15 * ((number + 3 * turn) % 24)),),
            )
            outcomes.extend(["cancelled"] * cancelled.rowcount)

    with ThreadPoolExecutor(len(sessions)) as background:
        for done in [background.submit(work, number) for number in range(len(sessions))]:
            done.result()
    assert {"booked", "refused", "cancelled"} <= set(outcomes)
    assert salon.differences() == []
