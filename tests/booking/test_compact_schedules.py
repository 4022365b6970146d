"""People who keep a compact schedule (staff.compact_schedule): on a day with an appointment only
the first and the last of consecutive free starts are listed, reserved and moved to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.booking.booked import (
    ADA,
    BOB,
    OTHER_SESSION,
    SESSION,
    assert_refused,
    book,
    call,
    changes_since,
    create,
    everything,
    reserve,
    slot_at,
)
from tests.booking.conftest import TUESDAY, at
from tests.booking.places import (
    add_place,
    add_travel,
    ask_to_reserve,
    assert_listed_is_what_can_be_reserved,
    move,
    starts,
    taken,
)
from tests.salon import Salon, set_clock

WEDNESDAY = TUESDAY + timedelta(days=1)
AFTER_THE_HOLD = "2026-03-02 07:11+01"
AROUND_TEN = ["09:00", "09:30", "10:30", "16:30"]


def keep(salon: Salon, is_compact: bool) -> None:
    """Whether the person keeps a compact schedule from now on."""
    salon.db.execute(
        "update booking.staff set compact_schedule = %s where id = %s", (is_compact, salon.person)
    )
    assert salon.differences() == []


@pytest.fixture
def compact(salon: Salon) -> Salon:
    """Ada keeps a compact schedule."""
    keep(salon, True)
    return salon


def test_a_day_without_appointments_is_open(compact: Salon) -> None:
    assert len(starts(compact)) == 31
    assert_listed_is_what_can_be_reserved(compact)


def test_beside_an_appointment_only_the_ends_of_what_is_free_are_offered(compact: Salon) -> None:
    salon = compact
    booking = book(salon)
    assert starts(salon) == AROUND_TEN
    assert starts(salon, code="course") == ["09:00", "10:30", "16:00"]
    assert len(starts(salon, day=WEDNESDAY)) == 31
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)
    assert ask_to_reserve(salon, slot_at(salon, at("12:00"))) == "slot_taken"
    answer = call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment)
    assert answer.success, answer
    assert len(starts(salon)) == 31


def test_a_changed_preference_is_published_at_once(salon: Salon) -> None:
    salon.appointment(at("10:00"))
    for is_compact in (True, False, True):
        keep(salon, is_compact)
        assert (starts(salon) == AROUND_TEN) == is_compact
        assert_listed_is_what_can_be_reserved(salon)


def test_appointments_by_hand_need_not_be_compact_and_count(compact: Salon) -> None:
    salon = compact
    salon.appointment(at("12:00"))
    assert starts(salon) == ["09:00", "11:30", "12:30", "16:30"]
    salon.appointment(at("20:00", 4))
    assert starts(salon, day=WEDNESDAY) == ["09:00", "16:30"]
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)


def test_holds_are_no_appointments_and_leave_the_day_as_open_as_it_was(compact: Salon) -> None:
    salon = compact
    reserve(salon, slot_at(salon, at("12:00")))
    assert taken(salon) == ["11:45", "12:00", "12:15"]
    assert_listed_is_what_can_be_reserved(salon)
    salon.appointment(at("10:00"))
    assert starts(salon) == AROUND_TEN
    assert_listed_is_what_can_be_reserved(salon)
    reserve(salon, slot_at(salon, at("10:30")), OTHER_SESSION)
    assert starts(salon) == ["09:00", "09:30", "16:30"]
    assert_listed_is_what_can_be_reserved(salon)
    set_clock(salon.db, AFTER_THE_HOLD)
    assert starts(salon) == AROUND_TEN


def test_what_is_held_can_be_booked_though_it_is_not_compact_any_more(compact: Salon) -> None:
    salon = compact
    slot, other_slot = slot_at(salon, at("12:00")), slot_at(salon, at("14:00"))
    reserve(salon, slot)
    reserve(salon, other_slot, OTHER_SESSION)
    for each, caller, session_id in ((slot, ADA, SESSION), (other_slot, BOB, OTHER_SESSION)):
        answer = create(salon, each, caller, session_id=session_id)
        assert answer.success, answer
        assert salon.differences() == []
    assert starts(salon) == ["09:00", "11:30", "12:30", "13:30", "14:30", "16:30"]


def test_an_appointment_moves_to_what_is_listed_with_it_and_to_what_would_be_without_it(
    compact: Salon,
) -> None:
    salon = compact
    booking = book(salon)
    # Alone on its day, it may go anywhere: without it the day is open.
    assert move(salon, booking, slot_at(salon, at("12:00"))).success
    salon.appointment(at("15:00"))
    # Without it: 09:00, 14:30, 15:30, 16:30. With it, too: 11:30 and 12:30.
    for clock, is_possible in (
        ("12:45", False),
        ("11:30", True),
        ("12:00", True),
        ("12:30", True),
        ("14:30", True),
        ("12:00", False),
        ("09:00", True),
    ):
        before = everything(salon)
        answer = move(salon, booking, slot_at(salon, at(clock)))
        assert answer.success == is_possible, (clock, answer)
        if not is_possible:
            assert_refused(answer, "slot_taken", 409)
            assert changes_since(salon, before) == []


def test_a_class_that_has_begun_to_fill_stays_open_amid_others(compact: Salon) -> None:
    salon = compact
    # One after the other, so that a class does not end the run of free starts around it.
    salon.db.execute(
        "update booking.appointment_types set slot_step_minutes = 60 where id = %s",
        (salon.course,),
    )
    slot = slot_at(salon, at("13:00"), salon.course)
    booking = book(salon, slot, appointment_type="course")
    assert starts(salon, code="course") == ["09:00", "13:00", "16:00"]
    salon.appointment(at("10:00"))
    assert starts(salon, code="course") == ["09:00", "11:00", "13:00", "16:00"]
    assert_listed_is_what_can_be_reserved(salon)
    answer = call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment)
    assert answer.success, answer
    assert starts(salon, code="course") == ["09:00", "11:00", "16:00"]


def test_each_place_has_ends_of_its_own_the_way_included(compact: Salon) -> None:
    salon = compact
    potsdam = add_place(salon, "Potsdam", "10:00", "15:00")
    add_travel(salon, salon.location, potsdam, 45)
    book(salon, slot_at(salon, at("12:00"), location=salon.location))
    assert starts(salon) == ["09:00", "11:30", "12:30", "16:30"]
    assert starts(salon, potsdam) == ["10:00", "10:45", "13:15", "14:30"]
    assert_listed_is_what_can_be_reserved(salon)
    # From there it is as far, and until then 12:30 is held back. It is an end all the same.
    reserve(salon, slot_at(salon, at("13:15"), location=potsdam))
    assert starts(salon) == ["09:00", "11:30", "16:30"]
    assert starts(salon, potsdam) == ["10:00", "10:45", "14:30"]
    assert_listed_is_what_can_be_reserved(salon)
