"""get_available_slots: what can be booked on some days, filtered, in order, page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Caller
from tests.api.asking import (
    DAY,
    Slot,
    ask,
    ids,
    listed,
    local_date,
    public,
    starts,
    work_hours,
)
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    add_service,
    admin_of,
    assert_refused,
    audit_rows,
    book,
    call,
    create,
    everything,
    reserve,
    slot_at,
)
from tests.booking.conftest import at
from tests.salon import Salon, insert, make_salon, set_clock

WHOLE = ("2026-03-02", "2026-05-02")
NEW_YORK = ZoneInfo("America/New_York")


def page(salon: Salon, size: int, token: str | None = None, **more: Any) -> dict[str, Any]:
    """One page of all that there is."""
    answer = ask(
        salon,
        "get_available_slots",
        tenant_id=salon.tenant,
        start_date=WHOLE[0],
        end_date=WHOLE[1],
        max_results=size,
        page_token=token,
        **more,
    )
    assert answer.success, answer
    return answer.body


# What is told


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", [ANON, ADA, SERVICE], ids=lambda caller: caller.role)
def test_it_tells_everyone_the_same_as_the_public_view(
    salon: Salon, caller: Caller, method: str
) -> None:
    expected = public(salon)
    assert len(expected) > 600
    assert listed(salon, *WHOLE, caller, method=method) == expected


def test_a_slot_is_told_with_its_times_in_utc(salon: Salon) -> None:
    (first,) = [slot for slot in listed(salon, duration_minutes=30) if starts([slot]) == ["10:00"]]
    assert first == {
        "id": str(slot_at(salon)),
        "staff_id": str(salon.person),
        "location_id": str(salon.location),
        "start_time": "2026-03-03T09:00:00Z",
        "end_time": "2026-03-03T09:30:00Z",
        "duration_minutes": 30,
        "seats_left": 1,
    }


def test_reading_leaves_no_trace(salon: Salon) -> None:
    before = everything(salon), audit_rows(salon)
    for method in ("GET", "POST"):
        listed(salon, *WHOLE, method=method)
    assert (everything(salon), audit_rows(salon)) == before


def test_a_tenant_without_free_slots_has_an_empty_list(salon: Salon) -> None:
    salon.db.execute("delete from booking.working_hours")
    answer = ask(salon, "get_available_slots", tenant_id=salon.tenant, start_date=DAY, end_date=DAY)
    assert answer.body == {"success": True, "slots": []}


# Filters


def test_by_person_duration_and_place(salon: Salon) -> None:
    salon.add_person("Ben")
    elsewhere = salon.insert("locations", name="Nord")
    work_hours(salon, salon.person, elsewhere, "18:00", "20:00")
    everyone = public(salon)
    filters: dict[str, set[Any]] = {
        "staff_id": {slot["staff_id"] for slot in everyone},
        "duration_minutes": {slot["duration_minutes"] for slot in everyone},
        "location_id": {slot["location_id"] for slot in everyone},
    }
    assert {name: len(values) for name, values in filters.items()} == dict.fromkeys(filters, 2)
    for name, values in filters.items():
        for value in values:
            assert listed(salon, *WHOLE, **{name: value}) == [
                slot for slot in everyone if slot[name] == value
            ]
    wanted: dict[str, Any] = {name: next(iter(values)) for name, values in filters.items()}
    assert listed(salon, *WHOLE, **wanted) == [
        slot for slot in everyone if wanted.items() <= slot.items()
    ]


def test_by_service_it_is_the_people_who_offer_it_its_slots_and_its_price(salon: Salon) -> None:
    salon.add_person("Ben")
    add_service(salon, "trim", price_cents=4200, currency="CHF")
    trims = listed(salon, *WHOLE, appointment_type="trim")
    assert trims == [
        slot | {"price_cents": 4200, "currency": "CHF"}
        for slot in listed(salon, *WHOLE, staff_id=salon.person, duration_minutes=30)
    ]
    assert trims
    assert listed(salon, *WHOLE, appointment_type="trim", duration_minutes=60) == []
    courses = listed(salon, appointment_type="course")
    assert {slot["duration_minutes"] for slot in courses} == {60}
    assert len({slot["staff_id"] for slot in courses}) == 2


def test_by_a_service_that_a_person_does_not_offer_there_is_nothing(salon: Salon) -> None:
    ben = salon.add_person("Ben")
    add_service(salon, "trim")
    assert listed(salon, staff_id=ben, appointment_type="trim") == []
    assert listed(salon, staff_id=ben, appointment_type="cut") != []


def test_a_duration_that_nothing_has_finds_nothing(salon: Salon) -> None:
    assert listed(salon, duration_minutes=31) == []


@pytest.mark.parametrize("kind", ["tenants", "staff", "locations"])
def test_who_is_inactive_looks_like_who_is_not_there(salon: Salon, kind: str) -> None:
    parameter, inactive = {
        "tenants": ("tenant_id", salon.tenant),
        "staff": ("staff_id", salon.person),
        "locations": ("location_id", salon.location),
    }[kind]
    arguments: dict[str, Any] = {"tenant_id": salon.tenant, "start_date": DAY, "end_date": DAY}
    salon.db.execute(
        f"update booking.{kind} set is_active = false where id = %s".encode(), (inactive,)
    )
    for caller in (ANON, admin_of(salon), SERVICE):
        answers = [
            ask(salon, "get_available_slots", caller, **(arguments | {parameter: named}))
            for named in (inactive, uuid4())
        ]
        assert_refused(answers[0], "not_found", 404)
        assert answers[0] == answers[1]


def test_what_is_another_tenants_looks_like_what_is_not_there(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    foreign = {"staff_id": neighbour.person, "location_id": neighbour.location}
    for name, anothers in foreign.items():
        answers = [
            ask(
                salon,
                "get_available_slots",
                tenant_id=salon.tenant,
                start_date=DAY,
                end_date=DAY,
                **dict[str, Any]({name: value}),
            )
            for value in (anothers, uuid4())
        ]
        assert_refused(answers[0], "not_found", 404)
        assert answers[0] == answers[1]


# Dates


def test_dates_are_those_of_each_place(salon: Salon) -> None:
    new_york = salon.insert("locations", name="New York", timezone="America/New_York")
    night_owl = salon.insert("staff", display_name="Cy")
    salon.db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " values (%s, %s, %s)",
        (salon.tenant, night_owl, salon.cut),
    )
    work_hours(salon, night_owl, new_york, "21:00", "24:00")
    everyone = public(salon)
    zones = {str(salon.location): ZoneInfo("Europe/Berlin"), str(new_york): NEW_YORK}
    for day in (date(2026, 3, 3), date(2026, 3, 4), date(2026, 3, 8), date(2026, 3, 9)):
        # On 8 March the clocks of New York are put forward.
        on_that_day = listed(salon, day)
        assert on_that_day == [
            slot for slot in everyone if local_date(slot, zones[slot["location_id"]]) == day
        ]
        there = [slot for slot in on_that_day if slot["location_id"] == str(new_york)]
        assert starts(there, NEW_YORK)[0] == "21:00"
        assert starts(there, NEW_YORK)[-1] == "23:30"
        assert there[-1]["start_time"] > f"{day + timedelta(days=1)}T03:00"


def test_the_first_and_the_last_date_belong_to_it(salon: Salon) -> None:
    dates = {local_date(slot) for slot in listed(salon, "2026-03-03", "2026-03-05")}
    assert dates == {date(2026, 3, 3), date(2026, 3, 4), date(2026, 3, 5)}


def test_today_begins_with_now(salon: Salon) -> None:
    set_clock(salon.db, "2026-03-02 12:07+01")
    assert starts(listed(salon, "2026-03-02", duration_minutes=30))[0] == "12:15"
    assert listed(salon, "2026-01-01", "2026-03-01") == []


def test_62_days_are_listed_and_63_are_too_many(salon: Salon) -> None:
    arguments: dict[str, Any] = {"tenant_id": salon.tenant, "start_date": "2026-03-02"}
    most = ask(salon, "get_available_slots", **arguments, end_date="2026-05-02")
    assert most.success
    answer = ask(salon, "get_available_slots", **arguments, end_date="2026-05-03")
    assert_refused(answer, "range_too_large", 400)
    assert answer.body["message"] == "start_date and end_date name 63 days; expected at most 62."


# Pages


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_all_pages_together_are_the_whole_and_nothing_twice(salon: Salon, size: int) -> None:
    arguments: dict[str, Any] = (
        {"duration_minutes": 30} if size > 1 else {"appointment_type": "course"}
    )
    last = WHOLE[1] if size > 1 else WHOLE[0]
    whole = listed(salon, WHOLE[0], last, **arguments)
    assert listed(salon, WHOLE[0], last, max_results=size, **arguments) == whole
    assert len(set(ids(whole))) == len(whole) > 2 * min(size, 20)


def test_slots_of_the_same_start_are_cut_between_pages_too(salon: Salon) -> None:
    for name in ("Ben", "Cy", "Di"):
        salon.add_person(name)
    whole = listed(salon)
    pairs = [(slot["start_time"], slot["id"]) for slot in whole]
    assert pairs == sorted(pairs)
    assert len({start for start, _ in pairs}) < len(pairs) / 4
    for size in (1, 3):
        assert listed(salon, max_results=size) == whole


def test_a_page_has_as_many_as_asked_for_and_a_token_only_if_more_follow(salon: Salon) -> None:
    count = len(listed(salon, *WHOLE))
    full = page(salon, count)
    assert len(full["slots"]) == count
    assert "next_page_token" not in full
    short = page(salon, count - 1)
    assert len(short["slots"]) == count - 1
    last = page(salon, 1000, short["next_page_token"])
    assert last == {"success": True, "slots": full["slots"][-1:]}


def test_a_thousand_come_when_nobody_says_how_many(salon: Salon) -> None:
    salon.add_person("Ben")
    first = page_without_size(salon)
    assert len(first["slots"]) == 1000
    assert "next_page_token" in first


def page_without_size(salon: Salon) -> dict[str, Any]:
    """The first page of all that there is."""
    return ask(
        salon,
        "get_available_slots",
        tenant_id=salon.tenant,
        start_date=WHOLE[0],
        end_date=WHOLE[1],
    ).body


@pytest.mark.parametrize("where", ["before", "at", "after"])
def test_what_is_booked_or_freed_between_two_pages_moves_nothing_else(
    salon: Salon, where: str
) -> None:
    freed = book(salon, slot_at(salon, at("13:00")))
    before = listed(salon, *WHOLE, duration_minutes=30)
    first = page(salon, 20, duration_minutes=30)
    position = {"before": 10, "at": 19, "after": 25}[where]
    taken = UUID(before[position]["id"])

    assert call(salon, "cancel_appointment", ADA, appointment_id=freed.appointment).success
    reserve(salon, taken)

    after = ids(listed(salon, *WHOLE, duration_minutes=30))
    rest: list[Slot] = []
    token = first.get("next_page_token")
    while token:
        following = page(salon, 20, token, duration_minutes=30)
        rest += following["slots"]
        token = following.get("next_page_token")
    last = before[19]
    assert ids(rest) == [
        slot["id"]
        for slot in listed(salon, *WHOLE, duration_minutes=30)
        if (slot["start_time"], slot["id"]) > (last["start_time"], last["id"])
    ]
    assert set(ids(first["slots"])).isdisjoint(ids(rest))
    assert set(after) <= set(ids(first["slots"] + rest))


GARBAGE = {
    "nothing": "",
    "a word": "garbage",
    "no id": "2026-03-03T09:00:00Z",
    "an id of none": "2026-03-03T09:00:00Z_garbage",
    "no time": f"_{UUID(int=1)}",
    "a word for a time": f"yesterday_{UUID(int=1)}",
    "another spelling": f"2026-03-03 09:00:00+00_{UUID(int=1)}",
    "the end of time": f"infinity_{UUID(int=1)}",
    "too much": f"2026-03-03T09:00:00Z_{UUID(int=1)}_1",
    "a capital id": f"2026-03-03T09:00:00Z_{str(UUID(int=2**128 - 1)).upper()}",
    "no such date": f"2026-02-30T09:00:00Z_{UUID(int=1)}",
    "SQL": "' or true --",
    "very long": "x" * 10_000,
}


@pytest.mark.parametrize("token", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_page_token_that_no_answer_gave_is_refused(salon: Salon, token: str) -> None:
    answer = ask(
        salon,
        "get_available_slots",
        tenant_id=salon.tenant,
        start_date=DAY,
        end_date=DAY,
        page_token=token,
    )
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"] == (
        f'page_token is "{token[:100]}"; expected the next_page_token of an answer.'
    )


def test_a_page_token_outlives_its_slot_and_opens_no_past(salon: Salon) -> None:
    first = page(salon, 1)
    set_clock(salon.db, "2026-03-04 12:00+01")
    later = page(salon, 1, first["next_page_token"])
    assert starts(later["slots"]) == ["12:15"]


# What is listed can be reserved; what cannot be is not listed


def make_held(salon: Salon, slot: UUID) -> None:
    reserve(salon, slot, OTHER_SESSION)


def make_booked(salon: Salon, slot: UUID) -> None:
    reserve(salon, slot)
    assert create(salon, slot).success


def overlap_with_busy_time(salon: Salon, slot: UUID) -> None:
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at("10:29"),
        end_time=at("10:31"),
        source="calendar",
    )


def require_notice(salon: Salon, slot: UUID) -> None:
    salon.db.execute("update booking.tenants set min_notice_minutes = 2 * 24 * 60")


def allow_little_advance(salon: Salon, slot: UUID) -> None:
    salon.db.execute("update booking.appointment_types set max_advance_days = 1")


def close_the_day(salon: Salon, slot: UUID) -> None:
    salon.insert("schedule_exceptions", first_date=DAY, last_date=DAY, kind="closed")


def deactivate(kind: str) -> Callable[[Salon, UUID], None]:
    def act(salon: Salon, slot: UUID) -> None:
        # Without triggers: what is inactive is hidden whatever the queue has still to do.
        with salon.db.transaction():
            salon.db.execute("set local session_replication_role = replica")
            salon.db.execute(f"update booking.{kind} set is_active = false".encode())

    return act


HINDRANCES: dict[str, Callable[[Salon, UUID], None]] = {
    "held": make_held,
    "booked": make_booked,
    "busy": overlap_with_busy_time,
    "too late to book": require_notice,
    "too early to book": allow_little_advance,
    "closed": close_the_day,
    "an inactive person": deactivate("staff"),
    "an inactive place": deactivate("locations"),
}


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_what_cannot_be_reserved_is_not_listed(salon: Salon, hindrance: str) -> None:
    slot = slot_at(salon)
    assert str(slot) in ids(listed(salon))
    HINDRANCES[hindrance](salon, slot)
    answer = call(salon, "reserve_slot", slot_id=slot, session_id=SESSION + "-3")
    assert answer.code == "slot_taken"
    assert str(slot) not in ids(listed(salon))
    assert listed(salon, *WHOLE) == public(salon)


def test_an_inactive_person_is_not_listed_beside_others(salon: Salon) -> None:
    salon.add_person()
    slot = slot_at(salon)
    with salon.db.transaction():
        salon.db.execute("set local session_replication_role = replica")
        salon.db.execute("update booking.staff set is_active = id <> %s", [salon.person])
    assert str(slot) not in ids(listed(salon))
    assert str(slot) not in ids(listed(salon, appointment_type="cut"))
    assert listed(salon, *WHOLE) == public(salon)


def test_a_hold_hides_a_slot_until_it_expires(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    for caller in (ANON, ADA, admin_of(salon)):
        assert str(slot) not in ids(listed(salon, caller=caller))
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert str(slot) in ids(listed(salon))


def test_every_slot_of_a_day_can_be_reserved_as_listed(salon: Salon) -> None:
    for number, slot in enumerate(listed(salon)):
        with salon.db.transaction(force_rollback=True):
            reserve(salon, UUID(slot["id"]), f"session-number-{number:04}", appointment_type=None)


def test_a_class_tells_how_many_seats_are_left_until_none_is(salon: Salon) -> None:
    course = slot_at(salon, type_id=salon.course)
    salon.db.execute("update booking.appointment_types set capacity = 3 where code = 'course'")

    def seats_left() -> list[int]:
        return [
            slot["seats_left"]
            for slot in listed(salon, appointment_type="course")
            if slot["id"] == str(course)
        ]

    assert seats_left() == [3]
    book(salon, course, appointment_type="course")
    assert seats_left() == [2]
    reserve(salon, course, OTHER_SESSION, appointment_type="course")
    assert seats_left() == [1]
    reserve(salon, course, OTHER_SESSION + "-2", appointment_type="course")
    assert seats_left() == []
    set_clock(salon.db, "2026-03-02 07:10+01")
    # Expired holds are counted until the next write; one seat is told at least.
    assert seats_left() in ([1], [2])


def test_a_new_service_is_listed_for_those_who_offer_it(salon: Salon) -> None:
    service = insert(
        salon.db,
        "appointment_types",
        tenant_id=salon.tenant,
        code="dye",
        name="Dye",
        duration_minutes=90,
    )
    assert listed(salon, appointment_type="dye") == []
    salon.db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " values (%s, %s, %s)",
        (salon.tenant, salon.person, service),
    )
    assert starts(listed(salon, appointment_type="dye"))[-1] == "15:30"


def test_a_day_that_is_none_is_an_error_of_the_parser(salon: Salon) -> None:
    with pytest.raises(errors.DatetimeFieldOverflow):
        listed(salon, "2026-02-30")
