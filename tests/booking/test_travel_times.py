"""Nobody is in two places at a time, nor on the way between them: travel times, whoever writes.

Ada works in Mitte, in Potsdam and in Spandau. From Mitte to Potsdam it takes 45 minutes, back only
15; nobody knows how long it takes to Spandau, so it takes no time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from tests.booking.booked import (
    BOB,
    OTHER_SESSION,
    SESSION,
    appointment,
    assert_refused,
    book,
    call,
    changes_since,
    create,
    direct_connection,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
    staff_of,
)
from tests.booking.conftest import at, offered
from tests.booking.places import (
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

AFTER_THE_HOLD = "2026-03-02 07:11+01"


@dataclass(frozen=True)
class Places:
    """Where Ada works."""

    mitte: UUID
    potsdam: UUID
    spandau: UUID

    def __getitem__(self, name: str) -> UUID:
        place: UUID = getattr(self, name)
        return place


@pytest.fixture
def places(salon: Salon) -> Places:
    """Three places and the two ways between two of them, and no more days than a test looks at."""
    salon.db.execute("update booking.tenants set booking_horizon_days = 3")
    potsdam, spandau = add_place(salon, "Potsdam"), add_place(salon, "Spandau")
    add_travel(salon, salon.location, potsdam, 45)
    add_travel(salon, potsdam, salon.location, 15)
    return Places(salon.location, potsdam, spandau)


def exact(salon: Salon) -> None:
    """What is published is what the calculator says."""
    assert salon.differences() == []


def written(salon: Salon, clock: str, place: UUID, **columns: Any) -> UUID:
    """A half hour of Ada's, by hand."""
    made = salon.appointment(at(clock), location_id=place, **columns)
    exact(salon)
    return made


# What is written by hand: to the minute, both ways, claim to claim

# Where half an hour at 12:00 is, and whether another half hour is possible elsewhere.
CASES: list[tuple[str, str, str, dict[str, int], bool]] = [
    ("mitte", "potsdam", "11:15", {}, True),  # 15 minutes from Potsdam to Mitte
    ("mitte", "potsdam", "11:16", {}, False),
    ("mitte", "potsdam", "11:30", {}, False),
    ("mitte", "potsdam", "12:30", {}, False),
    ("mitte", "potsdam", "13:14", {}, False),  # 45 minutes from Mitte to Potsdam
    ("mitte", "potsdam", "13:15", {}, True),
    ("potsdam", "mitte", "10:45", {}, True),
    ("potsdam", "mitte", "10:46", {}, False),
    ("potsdam", "mitte", "12:44", {}, False),
    ("potsdam", "mitte", "12:45", {}, True),
    ("mitte", "potsdam", "11:10", {"buffer_after_minutes": 5}, True),
    ("mitte", "potsdam", "11:11", {"buffer_after_minutes": 5}, False),
    ("mitte", "potsdam", "13:20", {"buffer_before_minutes": 5}, True),
    ("mitte", "potsdam", "13:19", {"buffer_before_minutes": 5}, False),
    ("mitte", "spandau", "11:30", {}, True),
    ("potsdam", "spandau", "12:30", {}, True),
    ("mitte", "mitte", "12:30", {}, True),
]

Way = Callable[[Salon, Places, str, str, dict[str, int]], object]


def by_inserting(
    salon: Salon, places: Places, clock: str, place: str, buffers: dict[str, int]
) -> object:
    return written(salon, clock, places[place], **buffers)


def by_moving_it_there(
    salon: Salon, places: Places, clock: str, place: str, buffers: dict[str, int]
) -> object:
    made = salon.appointment(at(clock, 5), location_id=places[place], **buffers)
    return salon.db.execute(
        "update booking.appointments set start_time = %s, end_time = %s where id = %s",
        (at(clock), at(clock) + timedelta(minutes=30), made),
    )


def by_changing_its_place(
    salon: Salon, places: Places, clock: str, place: str, buffers: dict[str, int]
) -> object:
    made = written(salon, clock, places.spandau, **buffers)
    return salon.db.execute(
        "update booking.appointments set location_id = %s where id = %s", (places[place], made)
    )


def by_taking_it_over(
    salon: Salon, places: Places, clock: str, place: str, buffers: dict[str, int]
) -> object:
    made = written(salon, clock, places[place], staff_id=salon.add_person("Ben"), **buffers)
    return salon.db.execute(
        "update booking.appointments set staff_id = %s where id = %s", (salon.person, made)
    )


def by_uncancelling(
    salon: Salon, places: Places, clock: str, place: str, buffers: dict[str, int]
) -> object:
    made = written(salon, clock, places[place], status="cancelled", **buffers)
    return salon.db.execute(
        "update booking.appointments set status = 'confirmed' where id = %s", (made,)
    )


@pytest.mark.parametrize(
    "way",
    [by_inserting, by_moving_it_there, by_changing_its_place, by_taking_it_over, by_uncancelling],
    ids=lambda way: way.__name__,
)
def test_no_direct_write_leaves_less_than_the_way(salon: Salon, places: Places, way: Way) -> None:
    wrong = []
    for there, place, clock, buffers, is_possible in CASES:
        with salon.db.transaction(force_rollback=True):
            written(salon, "12:00", places[there])
            try:
                with salon.db.transaction():
                    way(salon, places, clock, place, buffers)
                was_possible = True
            except errors.ExclusionViolation as error:
                was_possible = False
                utc = (at(clock) - timedelta(hours=1)).strftime("2026-03-03T%H:%M:00Z")
                assert error.diag.message_primary == (
                    f"start_time {utc} at {place.title()} leaves no time to travel to or from"
                    " another appointment of this person"
                )
            exact(salon)
            if was_possible != is_possible:
                wrong.append((there, place, clock, buffers))
    assert wrong == []


def test_longer_buffers_need_the_way_as_well(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    made = written(salon, "11:15", places.potsdam)
    with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
        salon.db.execute(
            "update booking.appointments set buffer_after_minutes = 1 where id = %s", (made,)
        )
    exact(salon)


def test_a_colleague_may_be_anywhere(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    written(salon, "12:00", places.potsdam, staff_id=salon.add_person("Ben"))


def test_what_is_cancelled_needs_no_way(salon: Salon, places: Places) -> None:
    first = written(salon, "12:00", places.mitte)
    salon.db.execute("update booking.appointments set status = 'cancelled' where id = %s", (first,))
    written(salon, "12:30", places.potsdam)
    with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
        salon.db.execute(
            "update booking.appointments set status = 'confirmed' where id = %s", (first,)
        )
    exact(salon)


def insert_all(salon: Salon, *wanted: tuple[datetime, UUID]) -> None:
    """Half hours, in one statement."""
    salon.db.execute(
        "insert into booking.appointments"
        " (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)"
        " select %s, %s, u.place, %s, u.start, u.start + interval '30 minutes'"
        " from unnest(%s::timestamptz[], %s::uuid[]) as u(start, place)",
        (
            *(salon.tenant, salon.person, salon.cut),
            [start for start, _ in wanted],
            [place for _, place in wanted],
        ),
    )


def test_rows_of_one_statement_leave_the_way_among_themselves(salon: Salon, places: Places) -> None:
    near = ((at("12:00"), places.mitte), (at("13:14"), places.potsdam))
    for wanted in (near, near[::-1]):
        before = everything(salon)
        with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
            insert_all(salon, *wanted)
        assert changes_since(salon, before) == []
    insert_all(salon, near[0], (at("13:15"), places.potsdam))
    exact(salon)


def test_one_too_near_among_hundreds_fails_them_all(salon: Salon, places: Places) -> None:
    # Every 75 minutes at the other place, from a Sunday in April on: exactly the way there, and
    # half an hour more than the way back.
    far = [
        (at("00:00", 28) + timedelta(days=10, minutes=75 * n), places[("mitte", "potsdam")[n % 2]])
        for n in range(400)
    ]
    before = everything(salon)
    with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
        insert_all(
            salon, *far[:200], (far[200][0] + timedelta(minutes=1), places.mitte), *far[201:]
        )
    assert changes_since(salon, before) == []
    insert_all(salon, *far)
    exact(salon)


def test_two_may_change_places_and_times_at_once(salon: Salon, places: Places) -> None:
    early, late = written(salon, "10:00", places.mitte), written(salon, "11:15", places.potsdam)
    # One after the other, the first would be too near.
    salon.db.execute(
        "update booking.appointments set start_time = start_time + interval '30 minutes',"
        " end_time = end_time + interval '30 minutes'"
    )
    exact(salon)
    salon.db.execute(
        "update booking.appointments set location_id = case id when %s then %s else %s end::uuid",
        (early, places.potsdam, places.mitte),
    )
    exact(salon)
    assert {appointment(salon, each)["location_id"] for each in (early, late)} == {
        places.potsdam,
        places.mitte,
    }
    with pytest.raises(errors.ExclusionViolation, match="no time to travel"):
        salon.db.execute(
            "update booking.appointments set end_time = end_time + interval '31 minutes'"
            " where id = %s",
            (early,),
        )
    exact(salon)


def test_staff_who_write_through_the_api_are_told_the_same(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    made = written(salon, "12:30", places.spandau)
    with (
        pytest.raises(errors.ExclusionViolation, match="at Potsdam leaves no time to travel"),
        direct_connection(salon, staff_of(salon)),
    ):
        salon.db.execute("set local role authenticated")
        salon.db.execute(
            "update api.appointments set location_id = %s where id = %s", (places.potsdam, made)
        )
    exact(salon)


# Listing, reserving, booking, moving


def test_what_is_booked_hides_what_cannot_be_reached_from_it(salon: Salon, places: Places) -> None:
    book(salon, slot_at(salon, at("12:00"), location=places.mitte))
    assert taken(salon, places.mitte) == ["11:45", "12:00", "12:15"]
    assert taken(salon, places.potsdam) == [
        *("11:30", "11:45", "12:00", "12:15", "12:30", "12:45", "13:00"),
    ]
    assert taken(salon, places.spandau) == ["11:45", "12:00", "12:15"]
    assert_listed_is_what_can_be_reserved(salon)


def test_on_the_way_back_it_is_the_other_way_round(salon: Salon, places: Places) -> None:
    book(salon, slot_at(salon, at("12:00"), location=places.potsdam))
    assert taken(salon, places.mitte) == [
        *("11:00", "11:15", "11:30", "11:45", "12:00", "12:15", "12:30"),
    ]
    assert_listed_is_what_can_be_reserved(salon)


def test_what_just_leaves_the_way_can_be_booked_before_and_after(
    salon: Salon, places: Places
) -> None:
    for clock, place in (("12:00", "mitte"), ("11:15", "potsdam"), ("13:15", "potsdam")):
        book(salon, slot_at(salon, at(clock), location=places[place]))
        exact(salon)


def test_from_a_busy_time_nobody_has_to_travel(salon: Salon, places: Places) -> None:
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at("12:00"),
        end_time=at("12:30"),
        source="calendar",
    )
    for place in (places.mitte, places.potsdam):
        assert taken(salon, place) == ["11:45", "12:00", "12:15"]
    for clock in ("11:30", "12:30"):
        book(salon, slot_at(salon, at(clock), location=places.potsdam))
        exact(salon)


def test_who_is_too_near_hears_no_more_than_who_is_too_late(salon: Salon, places: Places) -> None:
    too_near, too_late = (
        slot_at(salon, at("12:30"), location=place) for place in (places.potsdam, places.mitte)
    )
    booking = book(salon, slot_at(salon, at("16:00"), location=places.mitte))
    book(salon, slot_at(salon, at("12:00"), location=places.mitte), BOB)
    salon.db.execute(
        "insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source)"
        " values (%s, %s, %s, %s, 'calendar')",
        (salon.tenant, salon.person, at("12:30"), at("12:40")),
    )
    before = everything(salon)
    answers = [
        [
            call(salon, "reserve_slot", slot_id=slot, session_id=OTHER_SESSION),
            move(salon, booking, slot),
        ]
        for slot in (too_near, too_late)
    ]
    for answer in answers[0]:
        assert_refused(answer, "slot_taken", 409)
    assert answers[0] == answers[1]
    assert changes_since(salon, before) == []


def test_an_appointment_moves_near_to_where_it_was_itself(salon: Salon, places: Places) -> None:
    booking = book(salon, slot_at(salon, at("12:00"), location=places.mitte))
    slot = slot_at(salon, at("12:30"), location=places.potsdam)
    assert ask_to_reserve(salon, slot) == "slot_taken"
    answer = move(salon, booking, slot)
    assert answer.success, answer
    assert taken(salon, places.potsdam) == ["12:15", "12:30", "12:45"]


def test_an_appointment_does_not_move_too_near_to_another(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    booking = book(salon, slot_at(salon, at("16:00"), location=places.mitte))
    for clock in ("11:30", "13:00"):
        before = everything(salon)
        answer = move(salon, booking, slot_at(salon, at(clock), location=places.potsdam))
        assert_refused(answer, "slot_taken", 409)
        assert changes_since(salon, before) == []
    for clock in ("11:15", "13:15"):
        assert move(salon, booking, slot_at(salon, at(clock), location=places.potsdam)).success


# Holds


def test_a_hold_hides_the_other_place_within_the_way_until_it_expires(
    salon: Salon, places: Places
) -> None:
    until = reserve(salon, slot_at(salon, at("12:00"), location=places.mitte)).body[
        "reserved_until"
    ]
    hidden = ["11:30", "11:45", "12:00", "12:15", "12:30", "12:45", "13:00"]
    assert taken(salon, places.potsdam) == hidden
    (published,) = rows(
        salon,
        "select array_agg(to_char(start_time at time zone 'Europe/Berlin', 'HH24:MI')"
        "   order by start_time) as starts, count(distinct reserved_until) as ends,"
        " booking.iso_time(min(reserved_until)) as reserved_until, bool_and(is_available) as free"
        " from booking.availability_slots where location_id = %s and reserved_until is not null"
        " and duration_minutes = 30",
        places.potsdam,
    )
    assert published == {"starts": hidden, "ends": 1, "reserved_until": until, "free": True}
    assert_listed_is_what_can_be_reserved(salon)

    set_clock(salon.db, AFTER_THE_HOLD)
    assert taken(salon, places.potsdam) == []
    assert ask_to_reserve(salon, slot_at(salon, at("12:30"), location=places.potsdam)) is None


def test_what_a_hold_hides_is_back_when_it_is_released(salon: Salon, places: Places) -> None:
    slot = slot_at(salon, at("12:00"), location=places.mitte)
    reserve(salon, slot)
    near = slot_at(salon, at("12:30"), location=places.potsdam)
    assert ask_to_reserve(salon, near) == "slot_taken"
    release(salon, slot)
    assert taken(salon, places.potsdam) == []
    assert ask_to_reserve(salon, near) is None


def test_a_session_that_goes_elsewhere_gives_up_what_it_could_not_reach(
    salon: Salon, places: Places
) -> None:
    reserve(salon, slot_at(salon, at("12:00"), location=places.mitte))
    reserve(salon, slot_at(salon, at("15:00"), location=places.mitte))
    near = slot_at(salon, at("12:30"), location=places.potsdam)
    assert ask_to_reserve(salon, near, SESSION) is None
    assert {(hold["slot_id"] == near, hold["start_time"]) for hold in holds(salon)} == {
        (True, at("12:30")),
        (False, at("15:00")),
    }


def test_nobody_moves_within_the_way_of_what_another_holds(salon: Salon, places: Places) -> None:
    booking = book(salon, slot_at(salon, at("16:00"), location=places.potsdam))
    reserve(salon, slot_at(salon, at("12:00"), location=places.mitte), OTHER_SESSION)
    for clock in ("11:30", "13:00"):
        answer = move(salon, booking, slot_at(salon, at(clock), location=places.potsdam))
        assert_refused(answer, "slot_taken", 409)
    assert move(salon, booking, slot_at(salon, at("13:15"), location=places.potsdam)).success
    assert len(holds(salon)) == 1


@pytest.mark.parametrize(("clock", "is_kept"), [("13:14", False), ("13:15", True)])
def test_what_is_written_by_hand_takes_the_holds_it_cannot_be_reached_from(
    salon: Salon, places: Places, clock: str, is_kept: bool
) -> None:
    slot = slot_at(salon, at("12:00"), location=places.mitte)
    reserve(salon, slot)
    written(salon, clock, places.potsdam)
    assert len(holds(salon)) == is_kept
    answer = create(salon, slot)
    exact(salon)
    if is_kept:
        assert answer.success, answer
    else:
        assert_refused(answer, "reservation_expired", 409)


def test_what_is_moved_by_hand_takes_the_holds_of_where_it_comes(
    salon: Salon, places: Places
) -> None:
    made = written(salon, "12:30", places.spandau)
    slot = slot_at(salon, at("12:00"), location=places.mitte)
    reserve(salon, slot)
    salon.db.execute(
        "update booking.appointments set location_id = %s where id = %s", (places.potsdam, made)
    )
    exact(salon)
    assert holds(salon) == []


def test_no_hold_is_written_where_an_appointment_leaves_no_way(
    salon: Salon, places: Places
) -> None:
    written(salon, "12:00", places.mitte)
    for clock, place in (("11:30", places.potsdam), ("13:00", places.potsdam)):
        (slot,) = rows(
            salon,
            "select * from booking.availability_slots where start_time = %s and location_id = %s"
            " and duration_minutes = 30",
            *(at(clock), place),
        )
        row = {c: slot[c] for c in ("staff_id", "location_id", "shape_id", "start_time")}
        with pytest.raises(errors.ExclusionViolation, match="or the way to or from it"):
            salon.insert(
                "slot_reservations",
                **row,
                slot_id=slot["id"],
                session_hash=b"s" * 32,
                expires_at=at("07:10", 2),
            )
    exact(salon)


# A travel time that comes later


@pytest.fixture
def later(salon: Salon, places: Places) -> tuple[UUID, UUID]:
    """Two appointments, side by side, and then it turns out that there is a way between them."""
    made = written(salon, "12:00", places.mitte), written(salon, "12:30", places.spandau)
    add_travel(salon, places.spandau, places.mitte, 30)
    exact(salon)
    return made


@pytest.mark.parametrize(
    "change",
    [
        "notes = 'Fringe'",
        "payment_status = 'paid'",
        "status = 'pending'",
        "status = 'cancelled'",
        "customer = '{}'",
        "price_cents = 100",
    ],
)
def test_a_way_that_comes_later_lets_what_is_booked_be(
    salon: Salon, later: tuple[UUID, UUID], change: str
) -> None:
    for each in later:
        salon.db.execute(
            f"update booking.appointments set {change} where id = %s".encode(), (each,)
        )
        exact(salon)
    salon.db.execute("delete from booking.appointments where id = %s", (later[0],))
    exact(salon)


def test_a_way_that_comes_later_holds_for_what_is_moved(
    salon: Salon, places: Places, later: tuple[UUID, UUID]
) -> None:
    _, second = later
    with pytest.raises(errors.ExclusionViolation, match="at Spandau leaves no time to travel"):
        salon.db.execute(
            "update booking.appointments set start_time = start_time + interval '1 minute'"
            " where id = %s",
            (second,),
        )
    salon.db.execute(
        "update booking.appointments set start_time = start_time + interval '30 minutes',"
        " end_time = end_time + interval '30 minutes' where id = %s",
        (second,),
    )
    exact(salon)
    assert taken(salon, places.spandau)[:3] == ["11:15", "11:30", "11:45"]


def test_a_way_is_published_when_it_comes_changes_and_goes(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    around = ["11:45", "12:00", "12:15"]
    assert taken(salon, places.spandau) == around
    way = add_travel(salon, places.mitte, places.spandau, 15)
    assert taken(salon, places.spandau) == ["11:30", *around, "12:30"]
    back = add_travel(salon, places.spandau, places.mitte, 0)
    assert taken(salon, places.spandau) == [*around, "12:30"]
    salon.db.execute("update booking.travel_times set minutes = 30 where id = %s", (way,))
    assert taken(salon, places.spandau) == [*around, "12:30", "12:45"]
    salon.db.execute("delete from booking.travel_times where id = any (%s)", ([way, back],))
    assert taken(salon, places.spandau) == around


def test_a_hold_to_which_there_is_a_way_now_cannot_be_booked(salon: Salon, places: Places) -> None:
    written(salon, "12:00", places.mitte)
    booking = book(salon, slot_at(salon, at("15:00"), location=places.mitte))
    slot = slot_at(salon, at("12:30"), location=places.spandau)
    reserve(salon, slot)
    add_travel(salon, places.mitte, places.spandau, 30)
    exact(salon)
    before = everything(salon)
    for answer in (create(salon, slot), move(salon, booking, slot, session_id=SESSION)):
        assert_refused(answer, "appointment_conflict", 409)
        told = " ".join(str(each) for each in answer.body.values()).lower()
        for word in ("mitte", "spandau", "travel", "12:30", "11:30"):
            assert word not in told
    assert changes_since(salon, before) == []


def test_of_two_holds_to_which_there_is_a_way_now_the_first_to_book_has_it(
    salon: Salon, places: Places
) -> None:
    first = slot_at(salon, at("12:00"), location=places.mitte)
    second = slot_at(salon, at("12:30"), location=places.spandau)
    reserve(salon, first)
    reserve(salon, second, OTHER_SESSION)
    add_travel(salon, places.mitte, places.spandau, 30)
    exact(salon)
    assert create(salon, first).success
    exact(salon)
    answer = create(salon, second, BOB, session_id=OTHER_SESSION)
    assert_refused(answer, "reservation_expired", 409)


# Classes


def attend(salon: Salon, clock: str, place: UUID, session_id: str) -> UUID:
    """Somebody takes a seat of the course."""
    slot = slot_at(salon, at(clock), salon.course, location=place)
    reserve(salon, slot, session_id, appointment_type="course")
    exact(salon)
    answer = create(salon, slot, session_id=session_id, appointment_type="course")
    assert answer.success, answer
    exact(salon)
    return UUID(answer.body["appointment_id"])


def test_attendees_of_a_class_do_not_travel_to_each_other(salon: Salon, places: Places) -> None:
    for session_id in (SESSION, OTHER_SESSION):
        attend(salon, "12:00", places.potsdam, session_id)
    assert "12:00" in starts(salon, places.potsdam, "course")
    # 45 minutes before 12:00, and 15 after 13:00.
    assert taken(salon, places.mitte)[0] == "11:00"
    assert taken(salon, places.mitte)[-1] == "13:00"
    assert_listed_is_what_can_be_reserved(salon)


def test_to_a_class_and_from_it_there_is_a_way(salon: Salon, places: Places) -> None:
    attend(salon, "12:00", places.potsdam, SESSION)
    for clock in ("10:46", "13:14"):
        with pytest.raises(errors.ExclusionViolation, match="at Mitte leaves no time to travel"):
            salon.appointment(at(clock), location_id=places.mitte)
        exact(salon)
    for clock in ("10:45", "13:15"):
        written(salon, clock, places.mitte)
    assert "12:00" in starts(salon, places.potsdam, "course")
    attend(salon, "12:00", places.potsdam, OTHER_SESSION)


def test_nobody_joins_a_class_to_which_there_is_no_time_to_travel_any_more(
    salon: Salon, places: Places
) -> None:
    attend(salon, "12:00", places.spandau, SESSION)
    row = rows(salon, "select * from booking.appointments where location_id = %s", places.spandau)[
        0
    ]
    written(salon, "13:00", places.mitte)
    assert "12:00" in starts(salon, places.spandau, "course")
    add_travel(salon, places.spandau, places.mitte, 5)
    assert "12:00" not in starts(salon, places.spandau, "course")
    assert_listed_is_what_can_be_reserved(salon)
    columns = (
        *("staff_id", "location_id", "appointment_type_id", "shape_id", "slot_id"),
        *("start_time", "end_time"),
    )
    with pytest.raises(errors.ExclusionViolation, match="at Spandau leaves no time to travel"):
        salon.insert("appointments", **{column: row[column] for column in columns})
    exact(salon)


def test_a_held_seat_bars_the_way_too(salon: Salon, places: Places) -> None:
    slot = slot_at(salon, at("12:00"), salon.course, location=places.potsdam)
    reserve(salon, slot, appointment_type="course")
    assert (taken(salon, places.mitte)[0], taken(salon, places.mitte)[-1]) == ("11:00", "13:00")
    assert "12:00" in starts(salon, places.potsdam, "course")
    assert_listed_is_what_can_be_reserved(salon)


# Far ways, and far beyond


def test_a_way_of_a_day_reaches_the_day_before_and_after(salon: Salon, places: Places) -> None:
    add_travel(salon, places.mitte, places.spandau, 1440)
    written(salon, "15:00", places.mitte)
    assert starts(salon, places.spandau, day=at("00:00", 2).date())[-1] == "14:30"
    assert starts(salon, places.spandau) == []
    assert starts(salon, places.spandau, day=at("00:00", 4).date())[0] == "15:30"


def test_a_hold_at_the_other_end_of_a_day_s_way_hides_the_day_before_and_after(
    salon: Salon, places: Places
) -> None:
    add_travel(salon, places.mitte, places.spandau, 1440)
    reserve(salon, slot_at(salon, at("15:00"), location=places.mitte))
    assert starts(salon, places.spandau, day=at("00:00", 2).date())[-1] == "14:30"
    assert starts(salon, places.spandau) == []
    assert starts(salon, places.spandau, day=at("00:00", 4).date())[0] == "15:30"
    set_clock(salon.db, AFTER_THE_HOLD)
    assert len(starts(salon, places.spandau)) == 31


def test_the_way_matters_beyond_the_published_days(salon: Salon, places: Places) -> None:
    salon.db.execute(
        "update booking.tenants set precompute_days = 1, booking_horizon_days = 10 where id = %s",
        (salon.tenant,),
    )
    exact(salon)
    near = offered(salon, "trim", duration_minutes=30)
    salon.appointment(at("12:00", 8), location_id=places.mitte)
    reserve_at = {
        clock: rows(
            salon,
            "select booking.slot_id(%s, %s, %s, %s, t.shape_id) as id"
            " from booking.appointment_types t where t.id = %s",
            *(salon.tenant, salon.person, places.potsdam, at(clock, 8), near),
        )[0]["id"]
        for clock in ("11:15", "11:30", "13:00", "13:15")
    }
    shown = starts(salon, places.potsdam, "trim", at("00:00", 8).date())
    for clock, slot in reserve_at.items():
        answer = call(
            salon,
            "reserve_slot",
            slot_id=slot,
            session_id=SESSION,
            tenant_id=salon.tenant,
            staff_id=salon.person,
            location_id=places.potsdam,
            start_time=at(clock, 8),
        )
        exact(salon)
        is_possible = clock in ("11:15", "13:15")
        assert ((clock in shown), answer.success) == (is_possible, is_possible), clock
