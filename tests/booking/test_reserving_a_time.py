"""reserve_time: whoever is free, fairly: fewest appointments in the week, then idle longest, then
by id. The week is Monday, 2 March to Sunday, 8 March 2026; asked for is Wednesday, at ten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.api.asking import iso, work_hours
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    add_service,
    assert_refused,
    audit_rows,
    call,
    changes_since,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
)
from tests.booking.conftest import at
from tests.salon import Salon, set_clock

WEDNESDAY_TEN = at("10:00", day=4)


@dataclass
class Team:
    """Anna, Ben and Cleo, in the order of their ids, who all offer the same."""

    salon: Salon
    people: dict[str, UUID]

    def name(self, answer: Answer) -> str:
        """Whom an answer has chosen."""
        assert answer.success, answer
        (found,) = [
            name for name, each in self.people.items() if str(each) == answer.body["staff_id"]
        ]
        return found

    def appointment(self, who: str, day: int, clock: str) -> UUID:
        """Something booked in March 2026."""
        return self.salon.appointment(at(clock, day), staff_id=self.people[who])


@pytest.fixture
def team(salon: Salon) -> Team:
    people = sorted([salon.person, salon.add_person(), salon.add_person()])
    return Team(salon, dict(zip(("Anna", "Ben", "Cleo"), people, strict=True)))


def reserve_time(
    salon: Salon, start: datetime | str = WEDNESDAY_TEN, caller: Caller = ANON, **changes: Any
) -> Answer:
    """Ask for a cut at that time, but for these changes."""
    arguments: dict[str, Any] = {
        "tenant_id": salon.tenant,
        "start_time": start,
        "appointment_type": "cut",
        "session_id": SESSION,
    }
    return call(salon, "reserve_time", caller, **(arguments | changes))


def sessions() -> Iterator[str]:
    """As many visitors as one likes."""
    return (f"session-of-visitor-{number:03}" for number in range(1000))


# Whose turn it is

Booked = tuple[str, int, str]

FAIRNESS: dict[str, tuple[list[Booked], str]] = {
    # what is booked (who, day of March, time) and whose turn it is on Wednesday at ten
    "nobody has anything: by id": ([], "Anna"),
    "Anna has one this week, the others none": ([("Anna", 3, "12:00")], "Ben"),
    "only Cleo has none": ([("Anna", 3, "12:00"), ("Ben", 6, "12:00")], "Cleo"),
    "two are more than one": (
        [
            ("Anna", 2, "9:00"),
            ("Anna", 2, "12:00"),
            ("Ben", 2, "12:00"),
            ("Cleo", 2, "11:00"),
            ("Cleo", 2, "15:00"),
        ],
        "Ben",
    ),
    "what comes later in the week counts as well": (
        [
            ("Anna", 8, "16:30"),
            ("Ben", 8, "16:00"),
            ("Ben", 8, "12:00"),
            ("Cleo", 7, "9:00"),
            ("Cleo", 7, "10:00"),
        ],
        "Anna",
    ),
    "last week and next week do not count, but idle time does": (
        [("Anna", 1, "12:00"), ("Ben", 9, "9:00"), ("Ben", 9, "12:00"), ("Cleo", 1, "9:00")],
        "Ben",
    ),
    "equally many: who has been idle longest": (
        [("Anna", 3, "12:00"), ("Ben", 3, "9:00"), ("Cleo", 3, "10:00")],
        "Ben",
    ),
    "idle since a week ago is longer than since Sunday": (
        [("Anna", 1, "16:00"), ("Ben", 1, "12:00"), ("Cleo", 1, "14:00")],
        "Ben",
    ),
    "what lies after the start is no end to idleness": (
        [("Anna", 3, "12:00"), ("Ben", 5, "12:00"), ("Cleo", 3, "9:00")],
        "Ben",
    ),
    "what ends at the start is until the start": (
        [("Anna", 4, "9:00"), ("Ben", 4, "9:30"), ("Cleo", 4, "9:15")],
        "Anna",
    ),
    "equally idle: by id": ([("Cleo", 3, "9:00"), ("Ben", 3, "9:00"), ("Anna", 3, "9:00")], "Anna"),
}


@pytest.mark.parametrize("case", FAIRNESS)
def test_whose_turn_it_is(team: Team, case: str) -> None:
    booked, whose = FAIRNESS[case]
    for who, day, clock in booked:
        team.appointment(who, day, clock.zfill(5))
    assert team.name(reserve_time(team.salon)) == whose


def test_each_visitor_gets_the_next_in_turn_until_nobody_is_left(team: Team) -> None:
    team.appointment("Anna", 3, "12:00")
    answers = [
        reserve_time(team.salon, session_id=session)
        for session, _ in zip(sessions(), range(4), strict=False)
    ]
    assert [team.name(answer) for answer in answers[:3]] == ["Ben", "Cleo", "Anna"]
    assert_refused(answers[3], "slot_taken", 409)


def test_who_is_busy_then_is_not_chosen_however_little_they_have(team: Team) -> None:
    team.appointment("Anna", 4, "10:15")
    for clock in ("12:00", "13:00"):
        team.appointment("Ben", 3, clock)
    team.appointment("Cleo", 3, "12:00")
    team.appointment("Cleo", 3, "13:00")
    team.appointment("Cleo", 3, "14:00")
    assert team.name(reserve_time(team.salon)) == "Ben"


def test_a_cancelled_appointment_and_a_hold_count_for_nothing(team: Team) -> None:
    gone = team.appointment("Anna", 3, "12:00")
    team.salon.db.execute(
        "update booking.appointments set status = 'cancelled' where id = %s", (gone,)
    )
    reserve(team.salon, slot_at(team.salon, at("12:00"), person=team.people["Anna"]), OTHER_SESSION)
    assert team.name(reserve_time(team.salon)) == "Anna"


def test_a_class_counts_once_however_many_attend(team: Team) -> None:
    course = slot_at(team.salon, at("12:00"), team.salon.course, team.people["Anna"])
    for number in range(3):
        answer = reserve(
            team.salon, course, f"session-of-guest-{number}", SERVICE, appointment_type="course"
        )
        assert create(
            team.salon,
            course,
            SERVICE,
            session_id=f"session-of-guest-{number}",
            appointment_type="course",
        ).success, answer
    for who in ("Ben", "Cleo"):
        team.appointment(who, 3, "09:00")
        team.appointment(who, 3, "10:00")
    assert team.name(reserve_time(team.salon)) == "Anna"


def test_the_week_is_that_of_the_slots_place(team: Team) -> None:
    """In Auckland it is Monday, the 9th, when it is still Sunday in Berlin."""
    island = team.salon.insert("locations", name="Auckland", timezone="Pacific/Auckland")
    for person in team.people.values():
        work_hours(team.salon, person, island, "02:00", "03:00")
    # Monday, 02:00 there; and what Anna and Ben have is Sunday and Monday there.
    start = datetime.fromisoformat("2026-03-08 14:00+01:00")
    team.salon.appointment(
        start - timedelta(hours=3), staff_id=team.people["Anna"], location_id=island
    )
    for who in ("Ben", "Cleo"):
        team.salon.appointment(
            start + timedelta(hours=5), staff_id=team.people[who], location_id=island
        )
    answer = reserve_time(team.salon, start, location_id=island)
    assert team.name(answer) == "Anna"


def test_a_person_at_two_places_is_chosen_at_the_one_asked_for(salon: Salon) -> None:
    north = salon.insert("locations", name="Nord")
    work_hours(salon, salon.person, north, "09:00", "17:00", weekday=3)
    for place in (north, salon.location):
        with salon.db.transaction(force_rollback=True):
            answer = reserve_time(salon, location_id=place)
            assert answer.body["location_id"] == str(place)
    answer = reserve_time(salon)
    assert answer.body["location_id"] == str(min(north, salon.location))


def test_whoever_does_not_offer_the_service_is_not_chosen(team: Team) -> None:
    add_service(team.salon, "trim")
    answer = reserve_time(team.salon, appointment_type="trim")
    assert answer.body["staff_id"] == str(team.salon.person)
    refused = reserve_time(team.salon, appointment_type="trim", session_id=OTHER_SESSION)
    assert_refused(refused, "slot_taken", 409)


# What one gets


def test_the_answer_is_that_of_reserve_slot_with_who_where_and_when(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set price_cents = 4500, currency = 'CHF'")
    slot = slot_at(salon, WEDNESDAY_TEN)
    with salon.db.transaction(force_rollback=True):
        plain = reserve(salon, slot)
    assert reserve_time(salon).body == plain.body | {
        "staff_id": str(salon.person),
        "location_id": str(salon.location),
        "start_time": "2026-03-04T09:00:00Z",
        "end_time": "2026-03-04T09:30:00Z",
    }
    assert salon.differences() == []


def test_what_is_held_can_be_booked(salon: Salon) -> None:
    slot = UUID(reserve_time(salon).body["slot_id"])
    assert create(salon, slot).success
    (booked,) = rows(salon, "select staff_id, start_time from booking.appointments")
    assert (booked["staff_id"], booked["start_time"]) == (salon.person, WEDNESDAY_TEN)


def test_the_same_session_asking_again_gets_the_same_slot_and_the_same_end(team: Team) -> None:
    first = reserve_time(team.salon)
    assert team.name(first) == "Anna"
    # Meanwhile it is somebody else's turn.
    team.appointment("Anna", 3, "12:00")
    set_clock(team.salon.db, "2026-03-02 07:05+01")
    assert reserve_time(team.salon) == first
    assert reserve_time(team.salon, location_id=team.salon.location) == first
    assert len(holds(team.salon)) == 1
    set_clock(team.salon.db, "2026-03-02 07:10+01")
    assert team.name(reserve_time(team.salon)) == "Ben"


def test_another_time_or_session_is_another_hold(team: Team) -> None:
    first = reserve_time(team.salon)
    later = reserve_time(team.salon, WEDNESDAY_TEN + timedelta(hours=1))
    assert later.body["slot_id"] != first.body["slot_id"]
    cut = reserve_time(team.salon, session_id=OTHER_SESSION)
    assert (team.name(first), team.name(cut)) == ("Anna", "Ben")
    assert reserve_time(team.salon) == first


def test_another_service_at_the_same_time_is_another_hold(team: Team) -> None:
    trim = team.salon.insert("appointment_types", code="trim", name="Trim", duration_minutes=30)
    for person in team.people.values():
        team.salon.db.execute(
            "insert into booking.staff_appointment_types"
            " (tenant_id, staff_id, appointment_type_id) values (%s, %s, %s)",
            (team.salon.tenant, person, trim),
        )
    first = reserve_time(team.salon)
    second = reserve_time(team.salon, appointment_type="trim")
    assert [team.name(first), team.name(second)] == ["Anna", "Ben"]
    assert reserve_time(team.salon) == first
    assert reserve_time(team.salon, appointment_type="trim") == second


def test_a_class_gives_out_its_seats_and_then_the_next_persons(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    people = sorted([salon.person, salon.add_person()])
    answers = [
        reserve_time(salon, appointment_type="course", session_id=session)
        for session, _ in zip(sessions(), range(5), strict=False)
    ]
    assert [(answer.body["staff_id"], answer.body["seat"]) for answer in answers[:4]] == [
        (str(person), seat) for person in people for seat in (1, 2)
    ]
    assert_refused(answers[4], "slot_taken", 409)
    again = reserve_time(salon, appointment_type="course", session_id=next(sessions()))
    assert again == answers[0]


# What one does not get

NOBODY_THEN: dict[str, datetime | str] = {
    "past": "2026-03-01 10:00+01",
    "off the grid": "2026-03-04 10:07+01",
    "at night": "2026-03-04 03:00+01",
    "beyond the horizon": "2027-03-04 10:00+01",
    "with a fraction": "2026-03-04 10:00:00.5+01",
    "at the end of the calendar": "9999-12-30 10:00+00",
    "at its beginning": "1900-01-01 00:00+00",
}


@pytest.mark.parametrize("when", NOBODY_THEN)
def test_a_time_that_is_none_looks_like_one_that_is_taken(salon: Salon, when: str) -> None:
    for clock in ("10:00", "10:15"):
        salon.appointment(at(clock, day=5), minutes=15)
    taken = reserve_time(salon, at("10:00", day=5))
    assert_refused(taken, "slot_taken", 409)
    before = everything(salon)
    assert reserve_time(salon, NOBODY_THEN[when]) == taken
    assert changes_since(salon, before) == []


def test_a_session_holds_so_many_and_no_more_and_is_told_so_at_once(team: Team) -> None:
    team.salon.db.execute("update booking.tenants set max_holds_per_session = 2")
    for hour in (0, 1):
        assert reserve_time(team.salon, WEDNESDAY_TEN + timedelta(hours=hour)).success
    before = everything(team.salon)
    refused = reserve_time(team.salon, WEDNESDAY_TEN + timedelta(hours=2))
    assert_refused(refused, "hold_limit_reached", 409)
    assert changes_since(team.salon, before) == []
    # Neither does asking for what it holds take another one.
    assert reserve_time(team.salon).success


def test_a_calendar_that_is_behind_is_passed_over(team: Team) -> None:
    """Where the listing is wrong (a queued calendar), the next in turn is asked."""
    team.appointment("Anna", 4, "10:00")
    team.salon.db.execute(
        "update booking.availability_slots set is_available = true where staff_id = %s",
        (team.people["Anna"],),
    )
    for who in ("Ben", "Cleo"):
        for clock in ("12:00", "13:00"):
            team.appointment(who, 3, clock)
    assert team.name(reserve_time(team.salon)) == "Ben"


def test_get_is_refused(salon: Salon) -> None:
    with pytest.raises(errors.ReadOnlySqlTransaction):
        Api(salon.db).call(
            "reserve_time",
            method="GET",
            tenant_id=salon.tenant,
            start_time=WEDNESDAY_TEN,
            appointment_type="cut",
            session_id=SESSION,
        )


# On record, and counted


def test_a_time_that_was_reserved_leaves_one_row_with_slot_and_person(salon: Salon) -> None:
    answer = reserve_time(salon, caller=ADA)
    (row,) = audit_rows(salon)
    assert (row["action"], row["outcome"], row["code"]) == ("reserve_time", "success", None)
    assert (row["tenant_id"], row["staff_id"]) == (salon.tenant, salon.person)
    assert str(row["slot_id"]) == answer.body["slot_id"]


def test_whoever_is_passed_over_leaves_no_row_of_their_own(team: Team) -> None:
    for session, _ in zip(sessions(), range(4), strict=False):
        reserve_time(team.salon, session_id=session)
    recorded = [(row["code"], row["slot_id"] is None) for row in audit_rows(team.salon)]
    assert recorded == [(None, False)] * 3 + [("slot_taken", True)]
    assert {row["tenant_id"] for row in audit_rows(team.salon)} == {team.salon.tenant}


def test_a_tenant_that_is_none_is_on_record_under_nobody(salon: Salon) -> None:
    refused = reserve_time(salon, tenant_id=uuid4())
    assert_refused(refused, "not_found", 404)
    salon.db.execute("update booking.tenants set is_active = false")
    assert reserve_time(salon).body == refused.body
    assert [row["tenant_id"] for row in audit_rows(salon)] == [UUID(int=0), salon.tenant]


def test_reserving_times_and_slots_is_counted_together(salon: Salon) -> None:
    salon.db.execute("update booking.settings set reserves_per_minute = default")
    start = at("09:00", day=4)
    codes = [
        reserve_time(salon, start + timedelta(hours=number // 2), session_id=session).code
        if number % 2
        else call(salon, "reserve_slot", slot_id=uuid4(), session_id=session).code
        for number, session in zip(range(10), sessions(), strict=False)
    ]
    assert "rate_limited" not in codes
    assert_refused(reserve_time(salon, iso(start)), "rate_limited", 429)
    assert call(salon, "reserve_slot", slot_id=uuid4(), session_id=SESSION).code == "rate_limited"
    assert [row["bucket"] for row in rows(salon, "select bucket from booking.rate_limits")] == [
        "reserve_slot"
    ]


def test_a_hold_of_one_s_own_gives_way_where_nobody_else_is_free(salon: Salon) -> None:
    """A visitor changes their mind by a quarter of an hour, and then about the service."""
    reserve_time(salon)
    later = reserve_time(salon, WEDNESDAY_TEN + timedelta(minutes=15))
    assert later.success
    assert [hold["slot_id"] for hold in holds(salon)] == [UUID(later.body["slot_id"])]
    course = reserve_time(salon, appointment_type="course")
    assert course.success
    assert [hold["slot_id"] for hold in holds(salon)] == [UUID(course.body["slot_id"])]


def test_whose_calendar_is_written_for_long_is_passed_over_while_others_are_free(
    team: Team, connect: Callable[[], psycopg.Connection]
) -> None:
    writer = connect()
    with writer.transaction():
        writer.execute(
            "select from booking.calendars where staff_id = %s for update", (team.people["Anna"],)
        )
        assert team.name(reserve_time(team.salon)) == "Ben"


def test_if_all_calendars_are_written_it_is_busy(
    team: Team, connect: Callable[[], psycopg.Connection]
) -> None:
    writer = connect()
    with writer.transaction():
        writer.execute("select from booking.calendars for update")
        answer = reserve_time(team.salon)
    assert_refused(answer, "busy", 503)
    assert answer.headers["Retry-After"] == "1"
