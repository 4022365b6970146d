"""cleanup_expired_slot_reservations: housekeeping that nothing depends on and nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.api import Api
from tests.booking.booked import (
    OTHER_SESSION,
    SESSION,
    call,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
)
from tests.booking.conftest import at, listed, named
from tests.salon import Salon, make_salon, set_clock

Session = psycopg.Connection[Any]

WHEN_IT_EXPIRES = "2026-03-02 07:10+01"


def clean_up(db: Session, *most_calendars: int) -> int:
    """How many holds one call has cleared."""
    row = db.execute(
        "select booking.cleanup_expired_slot_reservations"
        f"({', '.join(['%s'] * len(most_calendars))})".encode(),
        most_calendars,
    ).fetchone()
    assert row is not None
    return int(row[0])


def held_by(salon: Salon, people: list[UUID]) -> list[UUID]:
    """Hold the cut at ten with each of these people, a minute apart, and let all expire."""
    for minute, person in enumerate(people):
        set_clock(salon.db, f"2026-03-02 07:{minute:02}+01")
        slot = slot_at(salon, person=person)
        reserve(salon, slot, f"session-number-{minute:04}")
    set_clock(salon.db, "2026-03-02 08:00+01")
    return people


def people_held(salon: Salon) -> set[UUID]:
    """Whose calendars have holds, expired or not."""
    return {hold["staff_id"] for hold in holds(salon)}


def test_it_clears_what_has_expired_and_says_how_many(salon: Salon) -> None:
    for clock in ("10:00", "10:30"):
        reserve(salon, slot_at(salon, at(clock)))
    set_clock(salon.db, "2026-03-02 07:05+01")
    lasting = slot_at(salon, at("12:00"))
    reserve(salon, lasting, OTHER_SESSION)
    set_clock(salon.db, "2026-03-02 07:09:59.999999+01")
    before = everything(salon)
    assert clean_up(salon.db) == 0
    assert everything(salon) == before

    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert clean_up(salon.db) == 2
    assert [hold["slot_id"] for hold in holds(salon)] == [lasting]
    assert salon.differences() == []
    assert clean_up(salon.db) == 0


def test_it_leaves_no_trace_in_the_slots_and_changes_nothing_that_anybody_sees(
    salon: Salon,
) -> None:
    def hold_columns() -> list[dict[str, Any]]:
        return rows(
            salon,
            "select id, seats_left, reserved_until, reserved_by_session"
            " from booking.availability_slots order by id",
        )

    untouched = hold_columns()
    reserve(salon, slot_at(salon))
    reserve(salon, slot_at(salon, at("13:00"), salon.course), appointment_type=None)
    assert hold_columns() != untouched
    set_clock(salon.db, WHEN_IT_EXPIRES)
    seen = listed(salon, salon.cut)
    assert clean_up(salon.db) == 2
    assert hold_columns() == untouched
    assert listed(salon, salon.cut) == seen


def test_of_a_class_only_the_expired_seats_are_cleared(salon: Salon) -> None:
    course = slot_at(salon, type_id=salon.course)
    reserve(salon, course, appointment_type=None)
    set_clock(salon.db, "2026-03-02 07:05+01")
    reserve(salon, course, OTHER_SESSION, appointment_type=None)
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert clean_up(salon.db) == 1
    assert [hold["seat"] for hold in holds(salon)] == [2]
    assert listed(salon, salon.course)["10:00"] == 9
    assert salon.differences() == []


def test_a_slot_that_was_kept_for_its_hold_goes_with_it(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.db.execute("update booking.working_hours set start_time = '10:10'")
    kept = "select from booking.availability_slots where id = %s"
    assert len(rows(salon, kept, slot)) == 1
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert clean_up(salon.db) == 1
    assert rows(salon, kept, slot) == []
    assert salon.differences() == []


def test_a_hold_beyond_the_precomputed_days_is_cleared(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set precompute_days = 2")
    far = named(salon, salon.cut, at("10:00", day=7))
    assert call(salon, "reserve_slot", session_id=SESSION, **far).success
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert clean_up(salon.db) == 1
    assert salon.differences() == []


def test_whoever_has_taken_the_slot_since_keeps_it(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, WHEN_IT_EXPIRES)
    reserve(salon, slot, OTHER_SESSION)
    assert clean_up(salon.db) == 0
    assert create(salon, slot, session_id=OTHER_SESSION).success


def test_one_call_clears_all_tenants(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    reserve(salon, slot_at(salon))
    reserve(neighbour, slot_at(neighbour))
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert clean_up(salon.db) == 2
    assert holds(salon) == holds(neighbour) == []
    assert salon.differences() == neighbour.differences() == []


def test_one_call_takes_few_calendars_and_the_oldest_holds_first(salon: Salon) -> None:
    first, second, third = held_by(salon, [salon.add_person(), salon.person, salon.add_person()])
    assert clean_up(salon.db, 1) == 1
    assert people_held(salon) == {second, third}
    assert clean_up(salon.db, 2) == 2
    assert clean_up(salon.db, 2) == 0
    assert first != third


def test_a_calendar_that_is_being_written_is_left_to_the_next_call(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    busy, idle = held_by(salon, [salon.person, salon.add_person()])
    writer = connect()
    writer.execute("begin")
    writer.execute(
        "update booking.calendars set revision = revision + 1 where staff_id = %s", (busy,)
    )
    # Waiting would be an error, and would not end.
    salon.db.execute("set lock_timeout = '1ms'")
    assert clean_up(salon.db) == 1
    assert people_held(salon) == {busy}
    writer.execute("rollback")
    assert clean_up(salon.db) == 1
    assert people_held(salon) == set()
    assert idle != busy
    assert salon.differences() == []


def test_while_it_runs_bookers_wait_in_no_calendar_but_those_it_clears(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    first, second = held_by(salon, [salon.person, salon.add_person()])
    booker = connect()
    set_clock(booker, "2026-03-02 08:00+01")
    with salon.db.transaction():
        assert clean_up(salon.db, 1) == 1
        (theirs,) = rows(
            salon,
            "select id from booking.availability_slots"
            " where staff_id = %s and start_time = %s and duration_minutes = 30",
            *(second, at("10:00")),
        )
        answer = Api(booker).call("reserve_slot", slot_id=theirs["id"], session_id=OTHER_SESSION)
    assert answer.success
    assert people_held(salon) == {second}
    assert first != second
    assert salon.differences() == []


def test_with_an_old_snapshot_it_fails_and_clears_nothing(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    late = connect()
    set_clock(late, WHEN_IT_EXPIRES)
    late.execute("begin isolation level repeatable read")
    late.execute("select count(*) from booking.slot_reservations")
    set_clock(salon.db, WHEN_IT_EXPIRES)
    reserve(salon, slot, OTHER_SESSION)
    with pytest.raises(errors.SerializationFailure):
        clean_up(late)
    late.execute("rollback")
    assert len(holds(salon)) == 1


def test_callers_of_the_api_cannot_run_it(salon: Salon) -> None:
    for role in ("anon", "authenticated", "service_role"):
        with salon.db.transaction(force_rollback=True):
            salon.db.execute(f"set local role {role}".encode())
            with pytest.raises(errors.InsufficientPrivilege), salon.db.transaction():
                clean_up(salon.db)


def test_the_owner_can_run_it(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    with salon.db.transaction():
        salon.db.execute("set local role booking_owner")
        set_clock(salon.db, WHEN_IT_EXPIRES)
        assert clean_up(salon.db) == 1
    assert holds(salon) == []
