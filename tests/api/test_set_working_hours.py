"""set_working_hours: a whole week of one person, and the same for colleagues, at one stroke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer, Api, Caller, member
from tests.api.asking import listed, starts
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    admin_of,
    appointment,
    assert_refused,
    audit_rows,
    book,
    call,
    holds,
    reserve,
    rows,
    slot_at,
    staff_of,
)
from tests.booking.conftest import at
from tests.salon import Salon, make_salon, set_clock

Connect = Callable[[], psycopg.Connection]
Week = list[dict[str, Any]]
MORNING = ("09:00", "12:00")


def week(
    salon: Salon, first: str = "09:00", last: str = "17:00", days: range = range(1, 8)
) -> Week:
    """The same hours on each of some weekdays."""
    return [
        {
            "location_id": str(salon.location),
            "weekday": day,
            "start_time": first,
            "end_time": last,
        }
        for day in days
    ]


def set_hours(
    salon: Salon, hours: object, caller: Caller | None = None, **arguments: object
) -> Answer:
    """Give the person these hours, as an admin."""
    people = arguments.pop("copy_to_staff_ids", None)
    if isinstance(people, list):
        # PostgREST makes an array of what the parameter says is one.
        arguments["copy_to_staff_ids"] = "{" + ",".join(map(str, people)) + "}"
    return call(
        salon,
        "set_working_hours",
        caller or admin_of(salon),
        **({"tenant_id": salon.tenant, "staff_id": salon.person, "hours": hours} | arguments),
    )


def hours_of(salon: Salon, person: UUID | None = None) -> set[tuple[str, ...]]:
    """Weekday, times and validity of a person's rows, as text."""
    return {
        tuple(row.values())
        for row in rows(
            salon,
            "select weekday::text, start_time::text, end_time::text, coalesce(valid_from::text,"
            " ''), coalesce(valid_until::text, '') as until from booking.working_hours"
            " where staff_id = %s",
            person or salon.person,
        )
    }


def every_day(first: str, last: str, valid_from: str = "", until: str = "") -> set[tuple[str, ...]]:
    """The rows of a week of equal days."""
    return {(str(day), first + ":00", last + ":00", valid_from, until) for day in range(1, 8)}


# What it does


def test_the_week_is_replaced_and_published_at_once(salon: Salon) -> None:
    evening = {**week(salon)[2], "start_time": "20:00", "end_time": "24:00"}
    night = {**week(salon)[4], "start_time": "22:00", "end_time": "02:00"}
    answer = set_hours(salon, [*week(salon, *MORNING, range(2, 3)), evening, night])
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "staff_ids": [str(salon.person)],
            "valid_from": None,
            "message": "Set for one person.",
        },
    )
    assert hours_of(salon) == {
        ("2", "09:00:00", "12:00:00", "", ""),
        ("3", "20:00:00", "24:00:00", "", ""),
        ("5", "22:00:00", "02:00:00", "", ""),
    }
    assert salon.differences() == []
    tuesday, wednesday = (
        starts(listed(salon, day, duration_minutes=60)) for day in ("2026-03-03", "2026-03-04")
    )
    assert (tuesday[0], tuesday[-1]) == ("09:00", "11:00")
    assert (wednesday[0], wednesday[-1]) == ("20:00", "23:00")
    assert listed(salon, "2026-03-05") == []


def test_an_empty_list_is_a_week_without_work(salon: Salon) -> None:
    assert set_hours(salon, []).success
    assert hours_of(salon) == set()
    assert listed(salon, "2026-03-02", "2026-03-12") == []
    assert salon.differences() == []


def test_what_was_valid_before_ends_the_day_before_and_seasons_to_come_go(salon: Salon) -> None:
    for first, last, times in (
        ("2026-01-01", "2026-03-05", "06:00"),
        ("2026-03-01", "2026-03-06", "07:00"),
        ("2026-07-01", "2026-08-31", "08:00"),
    ):
        salon.insert(
            "working_hours",
            staff_id=salon.person,
            location_id=salon.location,
            weekday=1,
            start_time=times,
            end_time="08:30",
            valid_from=first,
            valid_until=last,
        )
    assert set_hours(salon, week(salon, *MORNING), valid_from="2026-03-06").success
    assert hours_of(salon) == {
        *every_day("09:00", "17:00", "", "2026-03-05"),
        ("1", "06:00:00", "08:30:00", "2026-01-01", "2026-03-05"),
        ("1", "07:00:00", "08:30:00", "2026-03-01", "2026-03-05"),
        *every_day("09:00", "12:00", "2026-03-06"),
    }
    assert starts(listed(salon, "2026-03-05", duration_minutes=30))[-1] == "16:30"
    assert starts(listed(salon, "2026-03-06", duration_minutes=30))[-1] == "11:30"
    assert salon.differences() == []


def test_from_the_same_day_again_the_later_word_counts(salon: Salon) -> None:
    for hours in (MORNING, ("13:00", "15:00")):
        assert set_hours(salon, week(salon, *hours), valid_from="2026-03-06").success
    assert hours_of(salon) == {
        *every_day("09:00", "17:00", "", "2026-03-05"),
        *every_day("13:00", "15:00", "2026-03-06"),
    }


@pytest.mark.parametrize("valid_from", [None, "2026-03-06"])
def test_the_same_call_again_changes_no_row(salon: Salon, valid_from: str | None) -> None:
    def versions() -> list[dict[str, Any]]:
        return [
            row
            for table in ("working_hours", "availability_slots")
            for row in rows(
                salon, f"select '{table}' as t, id, xmin::text, ctid::text from booking.{table}"
            )
        ]

    hours = [*week(salon, *MORNING), *week(salon, "13:00", "16:00"), *week(salon, *MORNING)]
    first = set_hours(salon, hours, valid_from=valid_from)
    before = versions()
    assert set_hours(salon, hours, valid_from=valid_from).body == first.body
    assert versions() == before
    assert len([row for row in before if row["t"] == "working_hours"]) == (21 if valid_from else 14)


def test_rows_that_stay_and_slots_that_stay_are_not_written_anew(salon: Salon) -> None:
    def versions() -> dict[str, Any]:
        found = rows(
            salon,
            "select id, xmin::text from booking.availability_slots"
            " where extract(hour from start_time at time zone 'Europe/Berlin') < 11"
            " union all select id, xmin::text from booking.working_hours where weekday = 1",
        )
        return {str(row["id"]): row["xmin"] for row in found}

    before = versions()
    assert set_hours(
        salon, week(salon, days=range(1, 2)) + week(salon, *MORNING, range(2, 8))
    ).success
    assert versions() == before
    assert starts(listed(salon, duration_minutes=30))[-1] == "11:30"


def test_each_calendar_is_recalculated_once(salon: Salon) -> None:
    ben = salon.add_person("Ben")

    def revisions() -> dict[str, int]:
        found = rows(salon, "select staff_id, revision from booking.calendars")
        return {str(row["staff_id"]): row["revision"] for row in found}

    before = revisions()
    assert set_hours(salon, week(salon, *MORNING), copy_to_staff_ids=[ben]).success
    assert revisions() == {person: revision + 1 for person, revision in before.items()}
    assert salon.differences() == []
    assert rows(salon, "select from booking.refresh_queue") == []


def test_colleagues_get_the_same_week(salon: Salon) -> None:
    ben, cy = salon.add_person("Ben"), salon.add_person("Cy")
    answer = set_hours(salon, week(salon, *MORNING), copy_to_staff_ids=[ben, salon.person, ben])
    assert sorted(answer.body["staff_ids"]) == sorted([str(salon.person), str(ben)])
    assert answer.body["message"] == "Set for 2 people."
    for person in (salon.person, ben):
        assert hours_of(salon, person) == every_day(*MORNING)
    assert hours_of(salon, cy) == every_day("09:00", "17:00")
    assert salon.differences() == []


def test_holds_and_appointments_stay(salon: Salon) -> None:
    booking = book(salon, slot_at(salon, at("16:00")))
    reserve(salon, slot_at(salon, at("14:00")), OTHER_SESSION)
    before = appointment(salon, booking.appointment), holds(salon)
    assert set_hours(salon, week(salon, *MORNING)).success
    assert (appointment(salon, booking.appointment), holds(salon)) == before
    assert salon.differences() == []
    assert starts(listed(salon, duration_minutes=30))[-1] == "11:30"
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert starts(listed(salon, duration_minutes=30))[-1] == "11:30"


# Never without hours in between


def test_others_read_the_old_hours_until_the_new_ones_are_there(
    salon: Salon, connect: Connect
) -> None:
    other = connect()
    set_clock(other)

    def last_start() -> str:
        with other.transaction():
            other.execute("set local role anon")
            row = other.execute(
                "select to_char(max(start_time) at time zone 'Europe/Berlin', 'HH24:MI')"
                " from api.availability_slots where duration_minutes = 30"
            ).fetchone()
        assert row is not None
        return str(row[0])

    with salon.db.transaction():
        assert set_hours(salon, week(salon, *MORNING)).success
        assert last_start() == "16:30"
    assert last_start() == "11:30"


@pytest.fixture
def reader(connect: Connect) -> Iterator[Callable[[], set[int]]]:
    """Counts, again and again until told to stop, the public slots of a day; returns the counts."""
    session, stop = connect(), Event()
    set_clock(session)
    session.execute("set role anon")

    def read() -> set[int]:
        counts = set()
        while not stop.is_set():
            row = session.execute(
                "select count(*) from api.availability_slots where duration_minutes = 30"
                " and start_time >= '2026-03-03' and start_time < '2026-03-04'"
            ).fetchone()
            assert row is not None
            counts.add(row[0])
        return counts

    with ThreadPoolExecutor(1) as background:
        reading = background.submit(read)

        def finish() -> set[int]:
            stop.set()
            return reading.result()

        try:
            yield finish
        finally:
            stop.set()


def test_a_reader_sees_the_old_week_or_the_new_and_never_none(
    salon: Salon, reader: Callable[[], set[int]]
) -> None:
    for number in range(30):
        assert set_hours(salon, week(salon, *[MORNING, ("13:00", "17:00")][number % 2])).success
    # 31 of the week before; 11 starts in three hours, 15 in four.
    assert reader() <= {31, 11, 15}


def test_who_books_meanwhile_waits_for_the_new_week(
    salon: Salon,
    connect: Connect,
    wait_until_blocked: Callable[[int], None],
) -> None:
    other = connect()
    set_clock(other)
    slot = slot_at(salon, at("16:00"))
    with ThreadPoolExecutor(1) as background:
        with salon.db.transaction():
            assert set_hours(salon, week(salon, *MORNING)).success
            waiting = background.submit(
                Api(other).call, "reserve_slot", slot_id=slot, session_id=OTHER_SESSION
            )
            wait_until_blocked(other.info.backend_pid)
        assert waiting.result().code == "slot_taken"
    assert salon.differences() == []


def test_of_two_weeks_at_once_the_later_stays_and_stays_whole(
    salon: Salon, connect: Connect, wait_until_blocked: Callable[[int], None]
) -> None:
    other = connect()
    set_clock(other)
    with ThreadPoolExecutor(1) as background:
        with salon.db.transaction():
            assert set_hours(salon, week(salon, *MORNING)).success
            later = background.submit(
                Api(other).call,
                "set_working_hours",
                SERVICE,
                tenant_id=salon.tenant,
                staff_id=salon.person,
                hours=week(salon, "13:00", "18:00"),
            )
            wait_until_blocked(other.info.backend_pid)
        assert later.result().success
    assert hours_of(salon) == every_day("13:00", "18:00")
    assert salon.differences() == []


def test_a_row_that_is_changed_by_hand_meanwhile_makes_no_deadlock(
    salon: Salon, connect: Connect, wait_until_blocked: Callable[[int], None]
) -> None:
    other, by_hand = connect(), connect()
    for session in (other, by_hand):
        set_clock(session)
    with ThreadPoolExecutor(2) as background:
        with salon.db.transaction():
            salon.db.execute(
                "select booking.lock_calendars(%s, %s)", (salon.tenant, [salon.person])
            )
            whole_week = background.submit(
                Api(other).call,
                "set_working_hours",
                SERVICE,
                tenant_id=salon.tenant,
                staff_id=salon.person,
                hours=week(salon, "13:00", "18:00"),
            )
            wait_until_blocked(other.info.backend_pid)
            one_row = background.submit(
                by_hand.execute,
                "update booking.working_hours set end_time = '20:00' where weekday = 2",
            )
            wait_until_blocked(by_hand.info.backend_pid)
        one_row.result()
        assert whole_week.result().success
    assert salon.differences() == []


# Who may


def test_staff_set_their_own_week_and_admins_and_the_service_everyones(salon: Salon) -> None:
    ben = salon.add_person("Ben")
    for caller, person in (
        (staff_of(salon), salon.person),
        (staff_of(salon, ben), ben),
        (admin_of(salon), ben),
        (SERVICE, salon.person),
    ):
        before = len(audit_rows(salon))
        assert set_hours(salon, week(salon, *MORNING), caller, staff_id=person).success
        (record,) = audit_rows(salon)[before:]
        assert (record["action"], record["outcome"]) == ("set_working_hours", "success")
        assert (record["tenant_id"], record["staff_id"]) == (salon.tenant, person)


def test_staff_do_not_touch_colleagues_not_even_by_copying(salon: Salon) -> None:
    ben = salon.add_person("Ben")
    before = hours_of(salon), hours_of(salon, ben)
    answers = [
        set_hours(salon, [], staff_of(salon), staff_id=ben),
        set_hours(salon, [], staff_of(salon), copy_to_staff_ids=[ben]),
        set_hours(salon, [], member(uuid4(), salon.tenant, "staff")),
    ]
    for answer in answers:
        assert_refused(answer, "forbidden", 403)
    assert (hours_of(salon), hours_of(salon, ben)) == before


def test_strangers_cannot_tell_a_person_from_none(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    before = hours_of(salon)
    for caller in (ADA, admin_of(neighbour), staff_of(neighbour, salon.person)):
        foreign = set_hours(salon, [], caller)
        assert_refused(foreign, "not_found", 404)
        assert foreign == set_hours(salon, [], caller, staff_id=uuid4())
        assert foreign == set_hours(salon, [], caller, tenant_id=uuid4())
        recorded = {row["tenant_id"] for row in audit_rows(salon)}
        assert recorded == {UUID(int=0)}
    assert hours_of(salon) == before


def test_a_foreign_person_among_colleagues_is_nobody(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    for stranger in (neighbour.person, uuid4()):
        answer = set_hours(salon, [], copy_to_staff_ids=[stranger])
        assert_refused(answer, "not_found", 404)
    assert hours_of(salon) == hours_of(neighbour) == every_day("09:00", "17:00")


def test_nobody_who_is_not_signed_in_may_even_call_it(salon: Salon) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        set_hours(salon, [], ANON)


# Bad input, by name


BAD: dict[str, tuple[Any, str]] = {
    "missing": (None, "hours is missing; expected a list."),
    "an object": ({}, "hours is object; expected a list."),
    "an entry that is a word": (
        ["x"],
        "hours[0] is missing or of another kind; expected an object.",
    ),
    "no place": (
        {"location_id": None},
        "hours[0].location_id is missing or of another kind;"
        " expected the id of one of this tenant's places.",
    ),
    "a word for a place": (
        {"location_id": "here"},
        'hours[0].location_id is "here"; expected the id of one of this tenant\'s places.',
    ),
    "no weekday": (
        {"weekday": None},
        "hours[0].weekday is missing or of another kind; expected a number from 1 (Monday) to 7.",
    ),
    "weekday zero": (
        {"weekday": 0},
        'hours[0].weekday is "0"; expected a number from 1 (Monday) to 7.',
    ),
    "half a weekday": (
        {"weekday": 1.5},
        'hours[0].weekday is "1.5"; expected a number from 1 (Monday) to 7.',
    ),
    "a weekday by name": (
        {"weekday": "Monday"},
        'hours[0].weekday is "Monday"; expected a number from 1 (Monday) to 7.',
    ),
    "a start that is none": (
        {"start_time": "24:00"},
        'hours[0].start_time is "24:00"; expected a time like 09:00.',
    ),
    "a start with seconds": (
        {"start_time": "09:00:30"},
        'hours[0].start_time is "09:00:30"; expected a time like 09:00.',
    ),
    "a start with a zone": (
        {"start_time": "09:00+01"},
        'hours[0].start_time is "09:00+01"; expected a time like 09:00.',
    ),
    "an end that is none": (
        {"end_time": "25:00"},
        'hours[0].end_time is "25:00"; expected a time like 17:00.',
    ),
    "an end that is SQL": (
        {"end_time": "' or true --"},
        'hours[0].end_time is "\' or true --"; expected a time like 17:00.',
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_each_bad_field_is_named(salon: Salon, bad: str) -> None:
    content, message = BAD[bad]
    if isinstance(content, dict) and content:
        content = [{**week(salon)[0], **content}]
    answer = set_hours(salon, content)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"] == message
    assert hours_of(salon) == every_day("09:00", "17:00")


def test_another_tenants_place_is_none(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    answers = [
        set_hours(salon, [{**week(salon)[0], "location_id": str(place)}]).body["message"]
        for place in (neighbour.location, uuid4())
    ]
    for message in answers:
        assert "expected the id of one of this tenant's places" in message


def test_what_postgresql_would_take_for_a_date_is_bounded(salon: Salon) -> None:
    for year in ("infinity", "-infinity", "0001-01-01", "10000-01-01"):
        assert_refused(set_hours(salon, [], valid_from=year), "invalid_request", 400)
