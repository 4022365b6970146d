"""So many appointments a day and no more (staff.max_appointments_per_day): what is listed,
reserved, booked and moved, whoever holds and whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.booking.booked import (
    ADA,
    BOB,
    OTHER_SESSION,
    SESSION,
    Booking,
    assert_refused,
    book,
    call,
    changes_since,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
)
from tests.booking.conftest import TUESDAY, at, offered
from tests.booking.places import (
    add_hours,
    add_place,
    add_travel,
    ask_to_reserve,
    assert_listed_is_what_can_be_reserved,
    move,
    release,
    starts,
    taken,
)
from tests.salon import Salon, set_clock

WEDNESDAY = TUESDAY + timedelta(days=1)
AFTER_THE_HOLD = "2026-03-02 07:11+01"


def limit(salon: Salon, most: int | None) -> None:
    """So many a day from now on."""
    salon.db.execute(
        "update booking.staff set max_appointments_per_day = %s where id = %s", (most, salon.person)
    )
    assert salon.differences() == []


def few_days(salon: Salon) -> None:
    """Publish no more days than a test looks at: it asks again and again whether they are exact."""
    salon.db.execute("update booking.tenants set booking_horizon_days = 4")


@pytest.fixture
def two_a_day(salon: Salon) -> Salon:
    """At most two."""
    few_days(salon)
    limit(salon, 2)
    return salon


def written(salon: Salon, *clocks: str, **columns: Any) -> list[UUID]:
    """Half hours by hand, on Tuesday."""
    made = [salon.appointment(at(clock), **columns) for clock in clocks]
    assert salon.differences() == []
    return made


def cancel(salon: Salon, booking: Booking) -> None:
    """Ada does not come."""
    answer = call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment)
    assert answer.success, answer
    assert salon.differences() == []


# A full day


def test_a_day_is_over_when_it_has_as_many_as_there_may_be(two_a_day: Salon) -> None:
    salon = two_a_day
    book(salon, slot_at(salon, at("10:00")))
    assert taken(salon) == ["09:45", "10:00", "10:15"]
    booking = book(salon, slot_at(salon, at("12:00")))
    assert starts(salon) == starts(salon, code="course") == []
    assert len(starts(salon, day=WEDNESDAY)) == 31
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)
    cancel(salon, booking)
    assert taken(salon) == ["09:45", "10:00", "10:15"]
    assert_listed_is_what_can_be_reserved(salon)


def test_who_asks_on_a_full_day_hears_what_they_hear_of_any_taken_slot(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00", "12:00")
    full, overlapping = (
        call(salon, "reserve_slot", slot_id=slot_at(salon, at(clock)), session_id=OTHER_SESSION)
        for clock in ("15:00", "10:15")
    )
    assert_refused(full, "slot_taken", 409)
    assert full == overlapping


def change_status(status: str) -> Callable[[Salon, UUID], object]:
    """A write that changes nothing but that."""
    return lambda salon, made: salon.db.execute(
        "update booking.appointments set status = %s where id = %s", (status, made)
    )


GOING: dict[str, Callable[[Salon, UUID], object]] = {
    "cancelled": change_status("cancelled"),
    "deleted": lambda salon, made: salon.db.execute(
        "delete from booking.appointments where id = %s", (made,)
    ),
    "put off": lambda salon, made: salon.db.execute(
        "update booking.appointments set start_time = start_time + interval '24 hours',"
        " end_time = end_time + interval '24 hours' where id = %s",
        (made,),
    ),
    "taken over": lambda salon, made: salon.db.execute(
        "update booking.appointments set staff_id = %s where id = %s",
        (salon.add_person("Ben"), made),
    ),
}


@pytest.mark.parametrize("going", GOING)
def test_what_goes_makes_room_on_its_day(two_a_day: Salon, going: str) -> None:
    salon = two_a_day
    made = written(salon, "10:00", "12:00")
    assert starts(salon) == []
    GOING[going](salon, made[0])
    assert "10:00" in starts(salon)


def test_by_hand_a_day_can_be_overfilled_and_is_then_published_as_full(two_a_day: Salon) -> None:
    salon = two_a_day
    made = written(salon, "10:00", "12:00", "14:00", "16:00")
    for each in made[:2]:
        change_status("cancelled")(salon, each)
        assert starts(salon) == []
    change_status("cancelled")(salon, made[2])
    assert starts(salon)[0] == "09:00"


def test_a_changed_limit_is_published_at_once(salon: Salon) -> None:
    written(salon, "10:00", "12:00")
    for most, is_full in ((3, False), (2, True), (1, True), (None, False), (2, True)):
        limit(salon, most)
        assert (starts(salon) == []) == is_full, most
        assert (starts(salon, day=WEDNESDAY) == []) is False


def test_appointments_elsewhere_and_without_a_slot_count_and_busy_times_do_not(
    two_a_day: Salon,
) -> None:
    salon = two_a_day
    elsewhere = add_place(salon, "Potsdam")
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at("14:00"),
        end_time=at("15:00"),
        source="calendar",
    )
    written(salon, "06:00")
    assert starts(salon) != []
    written(salon, "20:00", location_id=elsewhere)
    assert starts(salon) == starts(salon, elsewhere) == []


# Holds


def test_a_hold_takes_its_place_of_the_day_from_others_until_it_expires(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    slot = slot_at(salon, at("12:00"))
    until = reserve(salon, slot).body["reserved_until"]
    assert starts(salon) == starts(salon, code="course") == []
    assert rows(
        salon,
        "select distinct booking.iso_time(reserved_until) as until, is_available"
        " from booking.availability_slots where start_time = %s",
        at("15:00"),
    ) == [{"until": until, "is_available": True}]
    before = everything(salon)
    for clock in ("15:00", "09:00", "12:00"):
        assert ask_to_reserve(salon, slot_at(salon, at(clock))) == "slot_taken"
    assert changes_since(salon, before) == []
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)

    answer = create(salon, slot)
    assert answer.success, answer
    assert starts(salon) == []


def test_a_hold_that_expires_gives_the_day_back(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    slot, other_slot = slot_at(salon, at("12:00")), slot_at(salon, at("15:00"))
    reserve(salon, slot)
    set_clock(salon.db, AFTER_THE_HOLD)
    assert_listed_is_what_can_be_reserved(salon)
    assert ask_to_reserve(salon, other_slot) is None
    assert_refused(create(salon, slot), "reservation_expired", 409)
    assert create(salon, other_slot, BOB, session_id=OTHER_SESSION).success
    assert starts(salon) == []


def test_a_hold_that_is_released_gives_the_day_back(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    slot = slot_at(salon, at("12:00"))
    reserve(salon, slot)
    assert ask_to_reserve(salon, slot_at(salon, at("15:00"))) == "slot_taken"
    release(salon, slot)
    assert taken(salon) == ["09:45", "10:00", "10:15"]
    assert ask_to_reserve(salon, slot_at(salon, at("15:00"))) is None


def test_a_day_is_open_again_when_the_first_of_several_holds_expires(two_a_day: Salon) -> None:
    salon = two_a_day
    reserve(salon, slot_at(salon, at("10:00")))
    set_clock(salon.db, "2026-03-02 07:05+01")
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    assert starts(salon) == []
    assert_listed_is_what_can_be_reserved(salon)
    set_clock(salon.db, AFTER_THE_HOLD)
    assert taken(salon) == ["11:45", "12:00", "12:15"]
    assert_listed_is_what_can_be_reserved(salon)


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_held_can_be_booked_whatever_becomes_of_the_limit(salon: Salon, most: int) -> None:
    limit(salon, 3)
    slot, other_slot = slot_at(salon, at("12:00")), slot_at(salon, at("14:00"))
    reserve(salon, slot)
    reserve(salon, other_slot, OTHER_SESSION)
    written(salon, "10:00", "16:00")
    limit(salon, most)
    assert starts(salon) == []
    for each, caller, session_id in ((slot, ADA, SESSION), (other_slot, BOB, OTHER_SESSION)):
        answer = create(salon, each, caller, session_id=session_id)
        assert answer.success, answer
        assert salon.differences() == []
    assert starts(salon) == []


def test_who_asks_again_for_what_they_hold_has_it_on_a_full_day(two_a_day: Salon) -> None:
    salon = two_a_day
    slot = slot_at(salon, at("12:00"))
    first = reserve(salon, slot)
    written(salon, "10:00", "16:00")
    assert reserve(salon, slot).body == first.body
    assert len(holds(salon)) == 1


def test_a_session_that_chooses_another_overlapping_slot_keeps_its_place_of_the_day(
    two_a_day: Salon,
) -> None:
    salon = two_a_day
    written(salon, "10:00")
    reserve(salon, slot_at(salon, at("12:00")))
    assert ask_to_reserve(salon, slot_at(salon, at("12:15")), SESSION) is None
    assert [hold["start_time"] for hold in holds(salon)] == [at("12:15")]


# Moving


def test_on_a_full_day_an_appointment_moves_within_it(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    booking = book(salon, slot_at(salon, at("12:00")))
    assert starts(salon) == []
    for clock in ("12:15", "09:00", "16:30"):
        answer = move(salon, booking, slot_at(salon, at(clock)))
        assert answer.success, answer
    before = everything(salon)
    assert_refused(move(salon, booking, slot_at(salon, at("10:15"))), "slot_taken", 409)
    assert changes_since(salon, before) == []


def test_nothing_moves_to_a_full_day_and_what_moves_away_makes_room(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    booking = book(salon, slot_at(salon, at("12:00")))
    later = book(salon, slot_at(salon, at("12:00", 4)))
    before = everything(salon)
    assert_refused(move(salon, later, slot_at(salon, at("15:00"))), "slot_taken", 409)
    assert changes_since(salon, before) == []
    assert move(salon, booking, slot_at(salon, at("15:00", 4))).success
    assert starts(salon) != []
    assert starts(salon, day=WEDNESDAY) == []
    assert move(salon, later, slot_at(salon, at("15:00"))).success
    assert starts(salon) == []


def test_nothing_moves_to_a_day_that_is_full_with_holds_of_others(two_a_day: Salon) -> None:
    salon = two_a_day
    written(salon, "10:00")
    booking = book(salon, slot_at(salon, at("12:00", 4)))
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    before = everything(salon)
    assert_refused(move(salon, booking, slot_at(salon, at("15:00"))), "slot_taken", 409)
    assert changes_since(salon, before) == []
    assert move(salon, booking, slot_at(salon, at("15:00", 4))).success


def test_what_moves_within_its_day_needs_no_room_that_another_holds(two_a_day: Salon) -> None:
    salon = two_a_day
    booking = book(salon, slot_at(salon, at("10:00")))
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    assert starts(salon) == []
    assert move(salon, booking, slot_at(salon, at("15:00"))).success


def test_to_what_is_held_an_appointment_moves_whatever_becomes_of_the_limit(
    two_a_day: Salon,
) -> None:
    salon = two_a_day
    booking = book(salon, slot_at(salon, at("12:00", 4)))
    slot = slot_at(salon, at("12:00"))
    reserve(salon, slot)
    written(salon, "10:00", "16:00")
    assert move(salon, booking, slot, session_id=SESSION).success


# Classes


def seat(salon: Salon, clock: str, session_id: str = SESSION) -> Booking:
    """Somebody takes a seat of the course."""
    slot = slot_at(salon, at(clock), salon.course)
    reserve(salon, slot, session_id, appointment_type="course")
    assert salon.differences() == []
    answer = create(salon, slot, session_id=session_id, appointment_type="course")
    assert answer.success, answer
    assert salon.differences() == []
    return Booking(UUID(answer.body["appointment_id"]), answer.body["manage_token"], slot)


def test_a_class_is_one_however_many_come(two_a_day: Salon) -> None:
    salon = two_a_day
    for guest in range(4):
        seat(salon, "10:00", f"session-of-guest-{guest:03}")
    assert "12:00" in starts(salon)
    assert_listed_is_what_can_be_reserved(salon)


def test_a_class_is_one_however_many_hold_seats_of_it(two_a_day: Salon) -> None:
    salon = two_a_day
    slot = slot_at(salon, at("10:00"), salon.course)
    for guest in range(4):
        reserve(salon, slot, f"session-of-guest-{guest:03}", appointment_type="course")
    assert "12:00" in starts(salon)
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    assert starts(salon) == []
    assert starts(salon, code="course") == ["10:00"]
    assert_listed_is_what_can_be_reserved(salon)


def test_a_class_that_has_begun_to_fill_stays_open_on_a_full_day(two_a_day: Salon) -> None:
    salon = two_a_day
    booking = seat(salon, "10:00")
    written(salon, "14:00", "16:00")
    assert starts(salon) == []
    assert starts(salon, code="course") == ["10:00"]
    assert_listed_is_what_can_be_reserved(salon)
    other = seat(salon, "10:00", OTHER_SESSION)
    for each in (booking, other):
        assert starts(salon, code="course") == ["10:00"]
        cancel(salon, each)
    assert starts(salon, code="course") == []


def test_who_holds_a_seat_beside_attendees_takes_no_second_place_of_the_day(
    two_a_day: Salon,
) -> None:
    salon = two_a_day
    booking = seat(salon, "10:00")
    slot = slot_at(salon, at("10:00"), salon.course)
    reserve(salon, slot, OTHER_SESSION, appointment_type="course")
    assert "12:00" in starts(salon)
    assert_listed_is_what_can_be_reserved(salon)
    written(salon, "14:00")
    cancel(salon, booking)
    # Now the hold is the class.
    assert starts(salon) == []
    assert_listed_is_what_can_be_reserved(salon)
    set_clock(salon.db, AFTER_THE_HOLD)
    assert "12:00" in starts(salon)
    set_clock(salon.db)
    answer = create(salon, slot, BOB, session_id=OTHER_SESSION, appointment_type="course")
    assert answer.success, answer
    assert starts(salon) == []


# Nights, and places whose days are others


@pytest.fixture
def nights(salon: Salon) -> Salon:
    """Ada works from 20:00 to 04:00 instead, at two a day; a watch takes four hours."""
    few_days(salon)
    salon.db.execute("delete from booking.working_hours where tenant_id = %s", (salon.tenant,))
    add_hours(salon, salon.location, "20:00", "04:00")
    offered(salon, "watch", duration_minutes=240, slot_step_minutes=60)
    limit(salon, 2)
    return salon


WATCHES = ["00:00", "20:00", "21:00", "22:00", "23:00"]


@pytest.mark.parametrize(
    ("day", "clocks", "tuesday", "wednesday"),
    [
        (3, ["09:00"], WATCHES, WATCHES),
        # Tuesday is full: what begins on it is gone, and what begins on Wednesday stays.
        (3, ["09:00", "15:00"], [], WATCHES),
        # Wednesday is full: of Tuesday's only what ends by midnight stays.
        (4, ["09:00", "15:00"], ["00:00", "20:00"], []),
        # An appointment past midnight counts on both of its days.
        (3, ["09:00", "23:45"], [], ["20:00", "21:00", "22:00", "23:00"]),
    ],
)
def test_what_lasts_past_midnight_needs_room_on_both_days(
    nights: Salon, day: int, clocks: list[str], tuesday: list[str], wednesday: list[str]
) -> None:
    salon = nights
    for clock in clocks:
        salon.appointment(at(clock, day))
    assert starts(salon, code="watch") == tuesday
    assert starts(salon, code="watch", day=WEDNESDAY) == wednesday
    assert_listed_is_what_can_be_reserved(salon, TUESDAY - timedelta(days=1), WEDNESDAY)


def test_what_is_held_past_midnight_takes_its_place_of_both_days(nights: Salon) -> None:
    salon = nights
    salon.appointment(at("09:00", 3))
    salon.appointment(at("09:00", 4))
    (watch,) = rows(salon, "select id from booking.appointment_types where code = 'watch'")
    reserve(salon, slot_at(salon, at("22:00"), watch["id"]), appointment_type="watch")
    assert starts(salon, code="watch") == starts(salon, code="watch", day=WEDNESDAY) == []
    # Monday's last watches end on Tuesday.
    assert starts(salon, code="watch", day=TUESDAY - timedelta(days=1)) == ["20:00"]
    assert_listed_is_what_can_be_reserved(
        salon, TUESDAY - timedelta(days=1), WEDNESDAY + timedelta(days=1)
    )
    set_clock(salon.db, AFTER_THE_HOLD)
    assert starts(salon, code="watch", day=WEDNESDAY) == WATCHES


def test_a_day_is_a_day_of_the_place_of_the_slot(salon: Salon) -> None:
    few_days(salon)
    limit(salon, 1)
    tokyo = salon.insert("locations", name="Tokyo", timezone="Asia/Tokyo")
    add_hours(salon, tokyo, "02:00", "08:00")
    # 20:00 in Berlin is 04:00 of Wednesday in Tokyo.
    booking = book(salon, slot_at(salon, at("20:00"), location=tokyo))
    assert starts(salon) == []
    assert starts(salon, day=WEDNESDAY) != []
    assert starts(salon, tokyo) != []
    assert starts(salon, tokyo, day=WEDNESDAY) == []
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)
    cancel(salon, booking)
    slot = slot_at(salon, at("20:00"), location=tokyo)
    reserve(salon, slot)
    assert starts(salon) == starts(salon, tokyo, day=WEDNESDAY) == []
    assert_listed_is_what_can_be_reserved(salon, TUESDAY, WEDNESDAY)


# Beside the way to other places


def test_limit_and_way_together(two_a_day: Salon) -> None:
    salon = two_a_day
    potsdam = add_place(salon, "Potsdam")
    add_travel(salon, salon.location, potsdam, 45)
    booking = book(salon, slot_at(salon, at("12:00"), location=salon.location))
    reserve(salon, slot_at(salon, at("15:00"), location=potsdam), OTHER_SESSION)
    assert starts(salon) == starts(salon, potsdam) == []
    assert_listed_is_what_can_be_reserved(salon)
    for clock, is_possible in (("14:00", False), ("13:45", True), ("09:00", True)):
        slot = slot_at(salon, at(clock), location=salon.location)
        assert move(salon, booking, slot).success == is_possible, clock


def test_who_changes_their_mind_is_not_kept_out_by_their_own_hold(two_a_day: Salon) -> None:
    """One place is left that day, and the visitor holds it at one time and then wants another."""
    written(two_a_day, "15:00")
    first, second = slot_at(two_a_day, at("10:00")), slot_at(two_a_day, at("13:00"))
    reserve(two_a_day, first)
    assert ask_to_reserve(two_a_day, second, OTHER_SESSION) == "slot_taken"
    reserve(two_a_day, second)
    assert [hold["slot_id"] for hold in holds(two_a_day)] == [second]
    assert two_a_day.differences() == []


def test_only_as_many_own_holds_go_as_make_room(salon: Salon) -> None:
    limit(salon, 2)
    first, second, third = (slot_at(salon, at(clock)) for clock in ("10:00", "12:00", "14:00"))
    reserve(salon, first)
    set_clock(salon.db, "2026-03-02 07:01+01")
    reserve(salon, second)
    reserve(salon, third)
    assert {hold["slot_id"] for hold in holds(salon)} == {second, third}
