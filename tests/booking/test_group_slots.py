"""Classes: seats listed, held, booked, cancelled and moved; never more than there are, whatever
becomes of the capacity meanwhile, and never in another class."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from psycopg import errors

from tests.api import SERVICE, Answer
from tests.booking.booked import (
    Booking,
    appointment,
    assert_refused,
    call,
    create,
    everything,
    holds,
    rows,
    slot_at,
)
from tests.booking.conftest import at, listed, offered
from tests.salon import Salon, set_clock


@pytest.fixture
def slot(salon: Salon) -> UUID:
    """The course at ten, which has three seats."""
    set_capacity(salon, 3)
    return slot_at(salon, type_id=salon.course)


def set_capacity(salon: Salon, capacity: int, code: str = "course") -> None:
    """So many seats from now on."""
    salon.db.execute(
        "update booking.appointment_types set capacity = %s where code = %s", (capacity, code)
    )


def guest(number: int) -> str:
    """The session of the n-th guest."""
    return f"session-of-guest-number-{number}"


def ask(salon: Salon, slot: UUID, number: int) -> Answer:
    """A guest asks for a seat."""
    return call(salon, "reserve_slot", slot_id=slot, session_id=guest(number))


def hold(salon: Salon, slot: UUID, number: int) -> int:
    """A guest gets a seat for ten minutes; which one."""
    answer = ask(salon, slot, number)
    assert answer.success, answer
    return int(answer.body["seat"])


def book(salon: Salon, slot: UUID, number: int, code: str = "course") -> Answer:
    """The service books what a guest holds."""
    return create(salon, slot, SERVICE, session_id=guest(number), appointment_type=code)


def attend(salon: Salon, slot: UUID, number: int, code: str = "course") -> Booking:
    """A guest holds a seat and gets it booked."""
    hold(salon, slot, number)
    answer = book(salon, slot, number, code)
    assert answer.success, answer
    return Booking(UUID(answer.body["appointment_id"]), answer.body["manage_token"], slot)


def cancel(salon: Salon, booking: Booking) -> None:
    """A guest gives a booked seat up."""
    answer = call(
        salon,
        "cancel_appointment",
        appointment_id=booking.appointment,
        manage_token=booking.token,
    )
    assert answer.success, answer


def move(salon: Salon, booking: Booking, slot: UUID, number: int | None = None) -> Answer:
    """A guest wants to go to another slot, which they may hold."""
    return call(
        salon,
        "reschedule_appointment",
        appointment_id=booking.appointment,
        manage_token=booking.token,
        slot_id=slot,
        session_id=None if number is None else guest(number),
    )


def seats(salon: Salon, slot: UUID) -> list[int]:
    """The booked seats of a slot."""
    return [
        row["seat"]
        for row in rows(
            salon,
            "select seat from booking.appointments"
            " where slot_id = %s and status <> 'cancelled' order by seat",
            slot,
        )
    ]


def seats_left(salon: Salon, clock: str = "10:00", type_id: UUID | None = None) -> int | None:
    """What anybody sees of a course: None where it is not offered. Checks all slots on the way."""
    assert salon.differences() == []
    return listed(salon, type_id or salon.course).get(clock)


# Listed, held, booked, cancelled, moved


def test_each_hold_takes_a_seat_until_there_is_none(salon: Salon, slot: UUID) -> None:
    assert seats_left(salon) == 3
    assert (hold(salon, slot, 1), seats_left(salon)) == (1, 2)
    assert (hold(salon, slot, 2), seats_left(salon)) == (2, 1)
    assert (hold(salon, slot, 3), seats_left(salon)) == (3, None)
    before = everything(salon)
    assert_refused(ask(salon, slot, 4), "slot_taken", 409)
    assert everything(salon) == before


def test_a_held_course_hides_what_overlaps_it_and_not_itself(salon: Salon, slot: UUID) -> None:
    hold(salon, slot, 1)
    around = {"09:00", "09:15", "09:45", "10:00", "10:15", "10:45", "11:00"}
    assert listed(salon, salon.course).keys() & around == {"09:00", "10:00", "11:00"}
    assert listed(salon, salon.cut).keys() & {"09:30", "09:45", "10:45", "11:00"} == {
        "09:30",
        "11:00",
    }
    for clock, type_id in (("10:15", salon.course), ("10:30", salon.cut), ("09:15", salon.course)):
        assert_refused(ask(salon, slot_at(salon, at(clock), type_id), 2), "slot_taken", 409)
    assert hold(salon, slot, 2) == 2


def test_a_session_has_one_seat(salon: Salon, slot: UUID) -> None:
    first = ask(salon, slot, 1)
    assert ask(salon, slot, 1) == first
    assert seats_left(salon) == 2


def test_a_full_course_is_offered_again_when_the_first_hold_ends(salon: Salon, slot: UUID) -> None:
    for number, clock in ((1, "07:00"), (2, "07:02"), (3, "07:04")):
        set_clock(salon.db, f"2026-03-02 {clock}+01")
        hold(salon, slot, number)
    set_clock(salon.db, "2026-03-02 07:09:59+01")
    assert seats_left(salon) is None
    assert_refused(ask(salon, slot, 4), "slot_taken", 409)
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert seats_left(salon) == 1
    assert hold(salon, slot, 4) == 1
    assert seats_left(salon) is None
    assert_refused(ask(salon, slot, 1), "slot_taken", 409)


def test_a_released_seat_goes_to_the_next_one_and_the_others_keep_theirs(
    salon: Salon, slot: UUID
) -> None:
    for number in (1, 2, 3):
        hold(salon, slot, number)
    assert call(salon, "release_slot", slot_id=slot, session_id=guest(2)).success
    assert seats_left(salon) == 1
    assert hold(salon, slot, 4) == 2
    assert [ask(salon, slot, number).body["seat"] for number in (1, 3, 4)] == [1, 3, 2]


def test_the_seat_that_was_promised_is_the_seat_that_is_booked(salon: Salon, slot: UUID) -> None:
    for number in (1, 2, 3):
        hold(salon, slot, number)
    assert book(salon, slot, 3).success
    assert seats(salon, slot) == [3]
    assert call(salon, "release_slot", slot_id=slot, session_id=guest(1)).success
    assert book(salon, slot, 2).success
    assert seats(salon, slot) == [2, 3]
    assert seats_left(salon) == 1


def test_booked_seats_are_gone_and_the_last_one_hides_the_course(salon: Salon, slot: UUID) -> None:
    for number, left in ((1, 2), (2, 1), (3, None)):
        attend(salon, slot, number)
        assert seats_left(salon) == left
    assert_refused(ask(salon, slot, 4), "slot_taken", 409)
    assert seats(salon, slot) == [1, 2, 3]


def test_a_held_seat_of_a_course_that_others_fill_can_be_booked(salon: Salon, slot: UUID) -> None:
    hold(salon, slot, 1)
    attend(salon, slot, 2)
    attend(salon, slot, 3)
    assert seats_left(salon) is None
    assert book(salon, slot, 1).success
    assert seats(salon, slot) == [1, 2, 3]


def test_a_cancelled_seat_is_given_to_the_next_one(salon: Salon, slot: UUID) -> None:
    bookings = [attend(salon, slot, number) for number in (1, 2, 3)]
    cancel(salon, bookings[1])
    assert seats_left(salon) == 1
    assert hold(salon, slot, 4) == 2
    assert seats_left(salon) is None


def test_when_the_last_guest_cancels_everything_is_free_again(salon: Salon, slot: UUID) -> None:
    all_cuts, all_courses = listed(salon, salon.cut), listed(salon, salon.course)
    bookings = [attend(salon, slot, number) for number in (1, 2)]
    cancel(salon, bookings[0])
    assert listed(salon, salon.cut) != all_cuts
    cancel(salon, bookings[1])
    assert listed(salon, salon.cut) == all_cuts
    assert listed(salon, salon.course) == all_courses


def test_a_guest_moves_to_another_start(salon: Salon, slot: UUID) -> None:
    bookings = [attend(salon, slot, number) for number in (1, 2)]
    later = slot_at(salon, at("13:00"), salon.course)
    attend(salon, later, 3)
    answer = move(salon, bookings[0], later)
    assert answer.success
    assert answer.body["seat"] == 2
    assert (seats(salon, slot), seats(salon, later)) == ([2], [1, 2])
    assert (seats_left(salon), seats_left(salon, "13:00")) == (2, 1)


def test_a_guest_moves_to_the_seat_they_hold(salon: Salon, slot: UUID) -> None:
    booking = attend(salon, slot, 1)
    later = slot_at(salon, at("13:00"), salon.course)
    for number in (2, 3, 4):
        hold(salon, later, number)
    assert_refused(move(salon, booking, later), "slot_taken", 409)
    assert call(salon, "release_slot", slot_id=later, session_id=guest(2)).success
    assert move(salon, booking, later, number=3).body["seat"] == 2
    assert seats(salon, later) == [2]
    assert seats_left(salon, "13:00") == 1
    assert len(holds(salon)) == 1


def test_nobody_moves_into_a_full_course(salon: Salon, slot: UUID) -> None:
    for number in (1, 2, 3):
        attend(salon, slot, number)
    later = slot_at(salon, at("13:00"), salon.course)
    booking = attend(salon, later, 4)
    before = everything(salon)
    assert_refused(move(salon, booking, slot), "slot_taken", 409)
    assert everything(salon) == before


def test_the_only_guest_can_shift_the_course_and_one_of_two_cannot(
    salon: Salon, slot: UUID
) -> None:
    first, second = (attend(salon, slot, number) for number in (1, 2))
    overlapping = slot_at(salon, at("10:15"), salon.course)
    before = everything(salon)
    assert_refused(move(salon, first, overlapping), "slot_taken", 409)
    assert everything(salon) == before
    cancel(salon, second)
    assert move(salon, first, overlapping).success
    assert (seats_left(salon), seats_left(salon, "10:15")) == (None, 2)


def test_a_course_is_moved_to_a_colleague_seat_by_seat(salon: Salon, slot: UUID) -> None:
    colleague = salon.add_person()
    theirs = slot_at(salon, type_id=salon.course, person=colleague)
    assert theirs != slot
    bookings = [attend(salon, slot, number) for number in (1, 2, 3)]
    assert [move(salon, booking, theirs).body["seat"] for booking in bookings] == [1, 2, 3]
    assert (seats(salon, slot), seats(salon, theirs)) == ([], [1, 2, 3])
    assert seats_left(salon) == 3


# Never overfilled


def test_a_raw_insert_cannot_take_a_seat_that_is_held(salon: Salon, slot: UUID) -> None:
    row = salon.slot(salon.course)
    for number in (1, 2):
        hold(salon, slot, number)
    salon.insert("appointments", **row)
    assert seats(salon, slot) == [3]
    with pytest.raises(errors.ExclusionViolation, match="all 3 seats"):
        salon.insert("appointments", **row, seat=1)
    assert all(book(salon, slot, number).success for number in (1, 2))
    assert seats(salon, slot) == [1, 2, 3]


def test_seats_whose_holds_have_expired_are_free_for_everybody(salon: Salon, slot: UUID) -> None:
    booking = attend(salon, slot_at(salon, at("13:00"), salon.course), 4)
    row = salon.slot(salon.course)
    for number in (1, 2, 3):
        hold(salon, slot, number)
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert len(holds(salon)) == 3
    assert move(salon, booking, slot).body["seat"] == 1
    salon.insert("appointments", **row)
    assert seats(salon, slot) == [1, 2]
    assert seats_left(salon) == 1


def test_an_appointment_by_hand_over_a_course_ends_its_holds_and_not_its_bookings(
    salon: Salon, slot: UUID
) -> None:
    hold(salon, slot, 1)
    salon.appointment(at("10:45"), minutes=30)
    assert holds(salon) == []
    assert_refused(book(salon, slot, 1), "reservation_expired", 409)

    later = slot_at(salon, at("13:00"), salon.course)
    attend(salon, later, 2)
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment(at("13:45"), minutes=30)
    assert seats_left(salon, "13:00") == 2


def test_more_seats_are_offered_at_once(salon: Salon, slot: UUID) -> None:
    attend(salon, slot, 1)
    hold(salon, slot, 2)
    hold(salon, slot, 3)
    assert seats_left(salon) is None
    set_capacity(salon, 5)
    assert slot_at(salon, type_id=salon.course) == slot, "a class that fills keeps its name"
    assert seats_left(salon) == 2
    assert [hold(salon, slot, number) for number in (4, 5)] == [4, 5]
    assert_refused(ask(salon, slot, 6), "slot_taken", 409)
    assert all(book(salon, slot, number).success for number in (5, 2, 3, 4))
    assert seats(salon, slot) == [1, 2, 3, 4, 5]
    assert seats_left(salon) is None


def test_fewer_seats_throw_nobody_out_and_are_never_refilled_past(salon: Salon, slot: UUID) -> None:
    bookings = [attend(salon, slot, number) for number in (1, 2, 3)]
    set_capacity(salon, 2)
    assert seats(salon, slot) == [1, 2, 3]
    assert seats_left(salon) is None

    cancel(salon, bookings[0])
    assert seats_left(salon) is None, "two of two"
    assert_refused(ask(salon, slot, 4), "slot_taken", 409)

    cancel(salon, bookings[1])
    assert seats_left(salon) == 1
    assert hold(salon, slot, 4) == 1
    assert seats_left(salon) is None
    assert book(salon, slot, 4).success
    assert seats(salon, slot) == [1, 3]


def test_fewer_seats_than_are_held_leave_room_for_as_many_as_there_are(
    salon: Salon, slot: UUID
) -> None:
    for number in (1, 2, 3):
        hold(salon, slot, number)
    set_capacity(salon, 2)
    assert seats_left(salon) is None
    before = everything(salon)
    assert_refused(book(salon, slot, 1), "appointment_conflict", 409)
    assert everything(salon) == before
    assert ask(salon, slot, 3).body["seat"] == 3, "what is held stays held"

    assert call(salon, "release_slot", slot_id=slot, session_id=guest(1)).success
    assert seats_left(salon) is None
    assert book(salon, slot, 3).success
    assert seats(salon, slot) == [1], "seat 3 is no more, and seat 1 is the lowest free one"
    assert book(salon, slot, 2).success
    assert seats(salon, slot) == [1, 2]
    assert_refused(ask(salon, slot, 4), "slot_taken", 409)


def test_fewer_seats_than_are_booked_and_held_refuse_who_holds_one_too_many(
    salon: Salon, slot: UUID
) -> None:
    attend(salon, slot, 1)
    booking = attend(salon, slot, 2)
    hold(salon, slot, 3)
    set_capacity(salon, 2)
    assert_refused(book(salon, slot, 3), "appointment_conflict", 409)
    cancel(salon, booking)
    assert seats_left(salon) is None, "the seat is held"
    assert book(salon, slot, 3).success
    assert seats(salon, slot) == [1, 2]


def test_a_class_that_is_none_any_more_takes_nobody_in(salon: Salon, slot: UUID) -> None:
    attend(salon, slot, 1)
    hold(salon, slot, 2)
    set_capacity(salon, 1)
    assert seats_left(salon) is None
    assert_refused(book(salon, slot, 2), "appointment_conflict", 409)
    assert_refused(ask(salon, slot, 3), "slot_taken", 409)
    assert seats(salon, slot) == [1]

    single = slot_at(salon, at("13:00"), salon.course)
    hold(salon, single, 3)
    assert_refused(ask(salon, single, 4), "slot_taken", 409)

    set_capacity(salon, 3)
    assert seats_left(salon) == 1
    assert book(salon, slot, 2).success
    assert seats(salon, slot) == [1, 2]


def test_a_course_that_has_begun_to_fill_stays_when_its_grid_moves(
    salon: Salon, slot: UUID
) -> None:
    attend(salon, slot, 1)
    held = slot_at(salon, at("14:00"), salon.course)
    hold(salon, held, 2)
    salon.db.execute("update booking.working_hours set start_time = '09:10'")
    assert listed(salon, salon.course).keys() & {"09:10", "10:00", "14:00", "11:10"} == {
        "10:00",
        "11:10",
    }
    assert seats_left(salon) == 2
    assert hold(salon, slot, 3) == 2
    assert_refused(ask(salon, held, 4), "slot_taken", 409)

    assert book(salon, held, 2).success, "who holds it can book it"
    assert seats_left(salon, "14:00") == 2
    assert hold(salon, held, 4) == 2


# One class never mixes with another


@pytest.fixture
def yoga(salon: Salon) -> UUID:
    """Another class, as long as the course, with as many seats, of the same person."""
    return offered(salon, "yoga", duration_minutes=60, capacity=3)


def test_two_classes_of_one_length_have_slots_of_their_own(
    salon: Salon, slot: UUID, yoga: UUID
) -> None:
    yoga_slot = slot_at(salon, type_id=yoga)
    assert yoga_slot != slot
    attend(salon, slot, 1)
    assert (seats_left(salon), seats_left(salon, type_id=yoga)) == (2, None)
    assert_refused(ask(salon, yoga_slot, 2), "slot_taken", 409)

    later = slot_at(salon, at("13:00"), yoga)
    hold(salon, later, 2)
    assert_refused(ask(salon, slot_at(salon, at("13:00"), salon.course), 3), "slot_taken", 409)
    assert (seats_left(salon, "13:00"), seats_left(salon, "13:00", yoga)) == (None, 2)


def test_a_seat_is_booked_for_its_own_class_only(salon: Salon, slot: UUID, yoga: UUID) -> None:
    hold(salon, slot, 1)
    before = everything(salon)
    assert_refused(book(salon, slot, 1, "yoga"), "invalid_request", 400)
    assert_refused(
        call(salon, "reserve_slot", slot_id=slot, session_id=guest(2), appointment_type="yoga"),
        "invalid_request",
        400,
    )
    assert everything(salon) == before


def test_nobody_moves_from_one_class_to_another(salon: Salon, slot: UUID, yoga: UUID) -> None:
    booking = attend(salon, slot, 1)
    later = slot_at(salon, at("13:00"), yoga)
    attend(salon, later, 2, "yoga")
    before = everything(salon)
    assert_refused(move(salon, booking, later), "invalid_request", 400)
    assert everything(salon) == before


def test_a_single_service_as_long_as_a_class_does_not_join_it(salon: Salon, slot: UUID) -> None:
    lesson = offered(salon, "lesson", duration_minutes=60)
    lesson_slot = slot_at(salon, type_id=lesson)
    assert lesson_slot != slot
    attend(salon, slot, 1)
    assert_refused(ask(salon, lesson_slot, 2), "slot_taken", 409)
    booking = attend(salon, slot_at(salon, at("13:00"), lesson), 3, "lesson")
    assert_refused(move(salon, booking, slot), "invalid_request", 400)
    assert appointment(salon, booking.appointment)["capacity"] == 1
    assert seats(salon, slot) == [1]


def test_the_capacity_of_one_class_is_not_anothers(salon: Salon, slot: UUID, yoga: UUID) -> None:
    set_capacity(salon, 2, "yoga")
    later = slot_at(salon, at("13:00"), yoga)
    for number in (1, 2):
        attend(salon, later, number, "yoga")
    assert_refused(ask(salon, later, 3), "slot_taken", 409)
    assert (seats_left(salon), seats_left(salon, "13:00", yoga)) == (3, None)


# Everything at once, against a count kept by hand


class Register:
    """Who sits where in one class, as the design has it: the lowest free seat, never past the
    capacity, and what was promised is kept where it still exists."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held: dict[int, int] = {}
        self.expires: dict[int, datetime] = {}
        self.booked: dict[int, int] = {}

    def lowest_free(self, asked: int | None = None) -> int | None:
        """The seat that is given out next."""
        taken = {*self.held.values(), *self.booked.values()}
        if len(self.held) + len(self.booked) >= self.capacity:
            return None
        free = [seat for seat in range(1, self.capacity + 1) if seat not in taken]
        return asked if asked in free else free[0]


ACTIONS = ["hold"] * 5 + ["release", "book", "book", "cancel", "away", "wait"] + ["capacity"] * 3


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_class_in_turmoil_is_never_overfilled(salon: Salon, slot: UUID, seed: int) -> None:
    chance = random.Random(seed)
    register = Register(3)
    bookings: dict[int, Booking] = {}
    later = slot_at(salon, at("13:00"), salon.course)
    clock = datetime.fromisoformat("2026-03-02 07:00+01:00")
    done = dict.fromkeys(["hold", "full", "release", "book", "too many", "cancel", "away"], 0)

    for number in range(100):
        register.held = {g: s for g, s in register.held.items() if register.expires[g] > clock}
        action = chance.choice(ACTIONS)
        if action == "hold":
            seat = register.lowest_free()
            answer = ask(salon, slot, number)
            assert answer.body.get("seat") == seat
            done["hold" if seat else "full"] += 1
            if seat:
                register.held[number] = seat
                register.expires[number] = clock + timedelta(minutes=10)
        elif action == "release" and register.held:
            who = chance.choice(list(register.held))
            assert call(salon, "release_slot", slot_id=slot, session_id=guest(who)).success
            del register.held[who]
            done["release"] += 1
        elif action == "book" and register.held:
            who = chance.choice(list(register.held))
            promised = register.held.pop(who)
            seat = register.lowest_free(promised)
            answer = book(salon, slot, who)
            assert answer.success == (seat is not None)
            if seat is None:
                register.held[who] = promised
                done["too many"] += 1
            else:
                register.booked[who] = seat
                bookings[who] = Booking(
                    UUID(answer.body["appointment_id"]), answer.body["manage_token"], slot
                )
                done["book"] += 1
        elif action in ("cancel", "away") and register.booked:
            who = chance.choice(list(register.booked))
            if action == "cancel":
                cancel(salon, bookings[who])
            else:
                moved = move(salon, bookings[who], later)
                assert moved.success
                cancel(salon, bookings[who])
            del register.booked[who]
            done[action] += 1
        elif action == "wait":
            clock += timedelta(minutes=3)
            set_clock(salon.db, clock.isoformat())
        elif action == "capacity":
            register.capacity = chance.randint(2, 4)
            set_capacity(salon, register.capacity)

        register.held = {g: s for g, s in register.held.items() if register.expires[g] > clock}
        assert seats(salon, slot) == sorted(register.booked.values())
        left = register.capacity - len(register.booked) - len(register.held)
        assert seats_left(salon) == (left if left > 0 else None)

    assert all(done.values()), done
