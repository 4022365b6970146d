"""release_slot: what is given back is free at once, unless another hold still covers it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api import ANON, Answer, Api
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    assert_refused,
    audit_rows,
    call,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
    user_of,
)
from tests.booking.conftest import at, listed, named
from tests.salon import Salon, make_salon, set_clock

THIRD_SESSION = "session-of-carl-0123456789"

NOT_HELD = {
    "success": False,
    "code": "not_found",
    "message": "This session holds no such slot.",
    "details": None,
    "hint": None,
}


def release(salon: Salon, slot_id: object, session_id: str = SESSION, **more: object) -> Answer:
    """Give a slot back, whatever the answer."""
    return call(salon, "release_slot", ANON, slot_id=slot_id, session_id=session_id, **more)


def test_a_released_slot_and_all_that_it_covered_are_free_at_once(salon: Salon) -> None:
    all_cuts, all_courses = listed(salon, salon.cut), listed(salon, salon.course)
    slot = slot_at(salon)
    reserve(salon, slot)
    assert "10:00" not in listed(salon, salon.cut)
    answer = release(salon, slot)
    assert answer == Answer(
        200, {"success": True, "slot_id": str(slot), "message": "Released."}, {}
    )
    assert holds(salon) == []
    assert listed(salon, salon.cut) == all_cuts
    assert listed(salon, salon.course) == all_courses
    assert salon.differences() == []
    reserve(salon, slot, OTHER_SESSION)


def test_it_is_on_record(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    call(salon, "release_slot", ADA, slot_id=slot, session_id=SESSION)
    _, record = audit_rows(salon)
    expected = {
        "tenant_id": salon.tenant,
        "action": "release_slot",
        "outcome": "success",
        "code": None,
        "actor_id": user_of(ADA),
        "actor_role": "authenticated",
        "session_hash": hashlib.sha256(SESSION.encode()).digest(),
        "slot_id": slot,
        "appointment_id": None,
        "staff_id": salon.person,
        "details": {},
    }
    assert record.items() >= expected.items()


def test_only_the_named_slot_is_released(salon: Salon) -> None:
    first, second = slot_at(salon), slot_at(salon, at("12:00"))
    reserve(salon, first)
    reserve(salon, second)
    release(salon, first)
    assert [hold["slot_id"] for hold in holds(salon)] == [second]


def test_what_is_released_cannot_be_released_again(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    release(salon, slot)
    before = everything(salon)
    answer = release(salon, slot)
    assert (answer.status, answer.body) == (404, NOT_HELD)
    assert everything(salon) == before


def test_what_has_expired_cannot_be_released(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, "2026-03-02 07:10+01")
    answer = release(salon, slot)
    assert (answer.status, answer.body) == (404, NOT_HELD)
    assert listed(salon, salon.cut)["10:00"]


def test_what_another_hold_still_covers_stays_hidden(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, "2026-03-02 07:05+01")
    reserve(salon, slot_at(salon, at("10:30")), OTHER_SESSION)
    release(salon, slot)
    # The cut at 10:15 overlaps both.
    assert listed(salon, salon.cut).keys() & {"10:00", "10:15", "10:30", "10:45"} == {"10:00"}
    assert salon.differences() == []
    set_clock(salon.db, "2026-03-02 07:14:59+01")
    assert "10:15" not in listed(salon, salon.cut)
    set_clock(salon.db, "2026-03-02 07:15+01")
    assert listed(salon, salon.cut).keys() >= {"10:15", "10:30", "10:45"}


def test_a_slot_that_other_holds_still_fill_stays_hidden(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 3 where code = 'course'")
    slot = slot_at(salon, type_id=salon.course)
    for session_id in (SESSION, OTHER_SESSION, THIRD_SESSION):
        reserve(salon, slot, session_id, appointment_type=None)
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    release(salon, slot)
    assert "10:00" not in listed(salon, salon.course)
    assert salon.differences() == []
    release(salon, slot, OTHER_SESSION)
    assert listed(salon, salon.course)["10:00"] == 1
    assert salon.differences() == []


def test_a_slot_that_is_on_the_grid_no_more_goes_with_its_hold(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.db.execute("update booking.working_hours set start_time = '10:10'")
    assert salon.differences() == []
    assert release(salon, slot).success
    assert rows(salon, "select from booking.availability_slots where id = %s", slot) == []
    assert salon.differences() == []


def test_a_slot_that_was_never_published_is_released_by_its_id(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set precompute_days = 2")
    far = named(salon, salon.cut, at("10:00", day=7))
    assert call(salon, "reserve_slot", session_id=SESSION, **far).success
    assert release(salon, far["slot_id"]).success
    assert holds(salon) == []
    assert call(salon, "reserve_slot", session_id=OTHER_SESSION, **far).success


def test_with_the_right_tenant_id_it_is_found_and_with_another_it_is_not(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = release(salon, slot, tenant_id=neighbour.tenant)
    assert (answer.status, answer.body) == (404, NOT_HELD)
    assert release(salon, slot, tenant_id=salon.tenant).success


def test_what_nobody_holds_looks_like_what_is_no_slot(salon: Salon) -> None:
    for slot in (slot_at(salon), named(salon, salon.cut, at("10:07"))["slot_id"], uuid4(), None):
        answer = release(salon, slot)
        assert (answer.status, answer.body, slot) == (404, NOT_HELD, slot)


@pytest.mark.parametrize("session_id", [None, "", "ß" * 15, "ß" * 129])
def test_session_ids_of_other_lengths_are_refused(salon: Salon, session_id: str | None) -> None:
    answer = call(salon, "release_slot", slot_id=slot_at(salon), session_id=session_id)
    assert_refused(answer, "invalid_request", 400)
    assert "expected 16 to 128 characters" in answer.body["message"]


def test_an_old_snapshot_is_asked_to_try_again(
    salon: Salon, connect: Callable[[], psycopg.Connection[Any]]
) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    with connect() as late:
        set_clock(late)
        late.execute("begin isolation level repeatable read")
        late.execute("select count(*) from booking.availability_slots")
        reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
        before = everything(salon)
        answer = Api(late).call("release_slot", slot_id=slot, session_id=SESSION)
        late.execute("commit")
    assert_refused(answer, "busy", 503)
    assert everything(salon) == before
