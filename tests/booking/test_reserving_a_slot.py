"""reserve_slot and get_reservations: what is held is hidden until its time is over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON, Answer, Api, Caller
from tests.booking.booked import (
    ADA,
    BOB,
    OTHER_SESSION,
    SESSION,
    TABLES,
    assert_refused,
    audit_rows,
    call,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
    user_of,
)
from tests.booking.conftest import at, listed, named, offered
from tests.salon import NOW, Salon, make_salon, set_clock

Session = psycopg.Connection[Any]

BEFORE_IT_EXPIRES = "2026-03-02 07:09:59.999999+01"
WHEN_IT_EXPIRES = "2026-03-02 07:10+01"

TAKEN = {
    "success": False,
    "code": "slot_taken",
    "message": "This time is no longer available.",
    "details": None,
    "hint": "Choose another time.",
}


def ask(
    salon: Salon,
    slot_id: object,
    session_id: str | None = SESSION,
    caller: Caller = ANON,
    **more: object,
) -> Answer:
    """Ask for a slot, whatever the answer."""
    return call(salon, "reserve_slot", caller, slot_id=slot_id, session_id=session_id, **more)


def held(salon: Salon, session_id: str = SESSION) -> list[str]:
    """The starts that a session holds, in UTC, as it is told."""
    answer = call(salon, "get_reservations", session_id=session_id)
    assert answer.status == 200 and answer.success
    return [hold["start_time"] for hold in answer.body["reservations"]]


def quarters(first: str, last: str) -> list[str]:
    """Every quarter of an hour from the first to the last."""
    count = (at(last) - at(first)) // timedelta(minutes=15)
    return [f"{at(first) + n * timedelta(minutes=15):%H:%M}" for n in range(count + 1)]


# What one hold does


def test_a_slot_is_held_for_ten_minutes(salon: Salon) -> None:
    slot = slot_at(salon)
    answer = ask(salon, slot)
    assert answer.status == 200
    assert answer.headers == {}
    assert answer.body == {
        "success": True,
        "slot_id": str(slot),
        "reserved_until": "2026-03-02T06:10:00Z",
        "seat": 1,
        "price_cents": 0,
        "currency": "EUR",
        "message": "Held for you until 2026-03-02T06:10:00Z.",
    }
    assert salon.differences() == []


def test_how_long_is_the_tenants_choice(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set hold_minutes = 25")
    assert ask(salon, slot_at(salon)).body["reserved_until"] == "2026-03-02T06:25:00Z"


def test_it_and_every_slot_that_it_overlaps_are_hidden_until_then(salon: Salon) -> None:
    all_cuts, all_courses = listed(salon, salon.cut), listed(salon, salon.course)
    assert list(all_cuts) == quarters("09:00", "16:30")
    assert list(all_courses) == quarters("09:00", "16:00")

    reserve(salon, slot_at(salon))
    assert all_cuts.keys() - listed(salon, salon.cut).keys() == set(quarters("09:45", "10:15"))
    assert all_courses.keys() - listed(salon, salon.course).keys() == set(
        quarters("09:15", "10:15")
    )
    assert salon.differences() == []

    set_clock(salon.db, BEFORE_IT_EXPIRES)
    assert "10:00" not in listed(salon, salon.cut)
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert listed(salon, salon.cut) == all_cuts
    assert listed(salon, salon.course) == all_courses
    assert len(holds(salon)) == 1, "nothing has cleaned up"
    assert salon.differences() == []


def test_what_two_holds_cover_is_hidden_until_the_later_one_ends(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    set_clock(salon.db, "2026-03-02 07:05+01")
    reserve(salon, slot_at(salon, at("10:30")), OTHER_SESSION)
    between = {"10:00", "10:15", "10:30"}
    for now, seen in (
        (BEFORE_IT_EXPIRES, set()),
        (WHEN_IT_EXPIRES, {"10:00"}),
        ("2026-03-02 07:14:59+01", {"10:00"}),
        ("2026-03-02 07:15+01", between),
    ):
        set_clock(salon.db, now)
        assert listed(salon, salon.cut).keys() & between == seen
    assert salon.differences() == []


def test_buffers_are_held_too(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set buffer_before_minutes = 15, buffer_after_minutes = 30"
        " where code = 'cut'"
    )
    before = listed(salon, salon.course)
    reserve(salon, slot_at(salon))
    # From 09:45 to 11:00.
    assert before.keys() - listed(salon, salon.course).keys() == set(quarters("09:00", "10:45"))
    assert salon.differences() == []


def test_a_colleague_stays_free(salon: Salon) -> None:
    colleague = salon.add_person()
    ada_has = slot_at(salon)
    reserve(salon, ada_has)
    reserve(salon, slot_at(salon, person=colleague), OTHER_SESSION)
    assert {hold["staff_id"] for hold in holds(salon)} == {salon.person, colleague}
    assert salon.differences() == []


@pytest.mark.parametrize("clock", ["09:45", "10:00", "10:15"])
def test_a_second_session_cannot_reserve_an_overlapping_slot(salon: Salon, clock: str) -> None:
    reserve(salon, slot_at(salon))
    before = everything(salon)
    answer = ask(salon, slot_at(salon, at(clock)), OTHER_SESSION)
    assert (answer.status, answer.body) == (409, TAKEN)
    assert everything(salon) == before


@pytest.mark.parametrize("clock", ["09:15", "10:15"])
def test_a_second_session_cannot_reserve_an_overlapping_slot_of_another_length(
    salon: Salon, clock: str
) -> None:
    reserve(salon, slot_at(salon))
    answer = ask(salon, slot_at(salon, at(clock), salon.course), OTHER_SESSION)
    assert (answer.status, answer.body) == (409, TAKEN)


@pytest.mark.parametrize("clock", ["09:30", "10:30"])
def test_a_second_session_can_reserve_the_neighbour(salon: Salon, clock: str) -> None:
    reserve(salon, slot_at(salon))
    reserve(salon, slot_at(salon, at(clock)), OTHER_SESSION)
    assert salon.differences() == []


def test_an_expired_hold_is_free_at_once_though_nothing_has_cleaned_up(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, BEFORE_IT_EXPIRES)
    assert ask(salon, slot, OTHER_SESSION).body == TAKEN

    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert len(holds(salon)) == 1
    answer = ask(salon, slot, OTHER_SESSION)
    assert answer.body["reserved_until"] == "2026-03-02T06:20:00Z"
    (hold,) = holds(salon)
    assert hold["session_hash"] == hashlib.sha256(OTHER_SESSION.encode()).digest()
    assert held(salon) == []
    assert salon.differences() == []


def test_an_expired_hold_is_free_at_once_for_an_overlapping_slot(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    set_clock(salon.db, WHEN_IT_EXPIRES)
    reserve(salon, slot_at(salon, at("10:15")), OTHER_SESSION)
    assert salon.differences() == []


def test_what_is_listed_can_be_reserved_and_nothing_else_can(salon: Salon) -> None:
    salon.appointment(at("09:30"), minutes=40)
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at("15:10"),
        end_time=at("15:20"),
        source="test",
    )
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    reserve(salon, slot_at(salon, at("11:00"), salon.course), OTHER_SESSION, appointment_type=None)
    reserve(salon, slot_at(salon, at("13:00")), "session-of-carl-0123456789")

    outcomes = []
    for type_id in (salon.cut, salon.course):
        offered = listed(salon, type_id)
        for clock in quarters("09:00", "16:00"):
            answer = ask(salon, named(salon, type_id, at(clock))["slot_id"])
            assert (answer.code, clock) == (None if clock in offered else "slot_taken", clock)
            outcomes.append(answer.success)
            if answer.success:
                slot = answer.body["slot_id"]
                assert call(salon, "release_slot", slot_id=slot, session_id=SESSION).success
    assert set(outcomes) == {True, False}
    assert salon.differences() == []


def test_who_holds_is_kept_as_a_hash_and_on_record(salon: Salon) -> None:
    slot = slot_at(salon)
    ask(salon, slot, caller=ADA)
    (hold,) = holds(salon)
    session_hash = hashlib.sha256(SESSION.encode()).digest()
    assert (hold["session_hash"], hold["customer_id"]) == (session_hash, user_of(ADA))

    (record,) = audit_rows(salon)
    assert len(record.pop("address_hash")) == 32
    assert record == {
        "id": record["id"],
        "tenant_id": salon.tenant,
        "occurred_at": datetime.fromisoformat(NOW),
        "action": "reserve_slot",
        "outcome": "success",
        "code": None,
        "actor_id": user_of(ADA),
        "actor_role": "authenticated",
        "session_hash": session_hash,
        "slot_id": slot,
        "appointment_id": None,
        "staff_id": salon.person,
        "details": {"location_id": str(salon.location), "start_time": "2026-03-03T09:00:00Z"},
    }
    written = [rows(salon, f"select * from booking.{table}") for table in TABLES]
    assert SESSION not in str(written) + str(audit_rows(salon))


@pytest.mark.parametrize("length", [16, 128])
def test_session_ids_of_16_to_128_characters_will_do(salon: Salon, length: int) -> None:
    assert ask(salon, slot_at(salon), "ß" * length).success


@pytest.mark.parametrize("session_id", [None, "", "ß" * 15, "ß" * 129])
def test_other_session_ids_are_refused_and_not_repeated(
    salon: Salon, session_id: str | None
) -> None:
    answer = ask(salon, slot_at(salon), session_id)
    assert_refused(answer, "invalid_request", 400)
    assert "expected 16 to 128 characters" in answer.body["message"]
    assert "ß" not in str(answer.body)
    assert holds(salon) == []


# The same session again


def test_who_signs_in_meanwhile_keeps_the_hold_as_their_own(salon: Salon) -> None:
    slot = slot_at(salon)
    first = ask(salon, slot)
    assert ask(salon, slot, caller=ADA) == first
    (hold,) = holds(salon)
    assert hold["customer_id"] == user_of(ADA)
    assert ask(salon, slot) == first, "and signs out"
    assert ask(salon, slot, caller=BOB) == first, "whose session it is is kept"
    assert holds(salon) == [hold]


def test_the_same_session_gets_the_same_answer_and_no_longer_hold(salon: Salon) -> None:
    slot = slot_at(salon)
    first = ask(salon, slot)
    before = holds(salon)
    set_clock(salon.db, "2026-03-02 07:05+01")
    assert ask(salon, slot) == first
    assert holds(salon) == before

    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert ask(salon, slot).body["reserved_until"] == "2026-03-02T06:20:00Z"
    assert salon.differences() == []


@pytest.mark.parametrize("appointment_type", ["cut", None])
def test_the_same_answer_is_given_though_the_service_is_on_another_grid_since(
    salon: Salon, appointment_type: str | None
) -> None:
    slot = slot_at(salon)
    first = ask(salon, slot, appointment_type=appointment_type)
    salon.db.execute("update booking.appointment_types set slot_step_minutes = 20")
    assert ask(salon, slot, appointment_type=appointment_type) == first
    assert create(salon, slot).success
    assert salon.differences() == []


def test_its_own_overlapping_hold_is_replaced(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    set_clock(salon.db, "2026-03-02 07:05+01")
    answer = ask(salon, slot_at(salon, at("10:15")))
    assert answer.body["reserved_until"] == "2026-03-02T06:15:00Z"
    assert held(salon) == ["2026-03-03T09:15:00Z"]
    assert listed(salon, salon.cut).keys() & set(quarters("09:30", "10:45")) == {
        "09:30",
        "09:45",
        "10:45",
    }
    assert salon.differences() == []


def test_all_its_own_overlapping_holds_are_replaced_and_no_others(salon: Salon) -> None:
    colleague = salon.add_person()
    for clock in ("10:00", "10:30"):
        reserve(salon, slot_at(salon, at(clock)))
    reserve(salon, slot_at(salon, at("10:15"), person=colleague))
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)

    reserve(salon, slot_at(salon, at("10:00"), salon.course), appointment_type=None)
    assert {(hold["staff_id"], hold["start_time"]) for hold in holds(salon)} == {
        (salon.person, at("10:00")),
        (colleague, at("10:15")),
        (salon.person, at("12:00")),
    }
    reserve(salon, slot_at(salon, at("11:00")))
    assert held(salon) == [
        "2026-03-03T09:00:00Z",
        "2026-03-03T09:15:00Z",
        "2026-03-03T10:00:00Z",
    ]
    assert salon.differences() == []


def test_its_own_hold_that_overlaps_by_buffers_only_is_replaced(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set buffer_before_minutes = 15 where code = 'cut'"
    )
    reserve(salon, slot_at(salon))
    reserve(salon, slot_at(salon, at("10:30")))
    assert held(salon) == ["2026-03-03T09:30:00Z"]
    reserve(salon, slot_at(salon, at("11:15")))
    assert held(salon) == ["2026-03-03T09:30:00Z", "2026-03-03T10:15:00Z"]
    assert salon.differences() == []


def test_a_hold_is_kept_when_the_one_to_replace_it_is_taken(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    reserve(salon, slot_at(salon, at("10:30")), OTHER_SESSION)
    before = everything(salon)
    answer = ask(salon, slot_at(salon, at("10:15")))
    assert (answer.status, answer.body) == (409, TAKEN)
    assert everything(salon) == before
    assert held(salon) == ["2026-03-03T09:00:00Z"]


def test_a_hold_is_kept_when_the_one_to_replace_it_cannot_be_booked(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    salon.appointment(at("10:30"))
    before = everything(salon)
    assert ask(salon, slot_at(salon, at("10:15"))).body == TAKEN
    assert everything(salon) == before


def test_a_hold_is_kept_when_the_request_to_replace_it_is_not_valid(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    before = everything(salon)
    answer = ask(salon, slot_at(salon, at("10:15")), appointment_type="massage")
    assert_refused(answer, "invalid_request", 400)
    assert everything(salon) == before


# How many


def test_a_session_holds_so_many_slots_and_no_more(salon: Salon) -> None:
    for clock in ("09:00", "10:00", "11:00"):
        reserve(salon, slot_at(salon, at(clock)))
    before = everything(salon)
    answer = ask(salon, slot_at(salon, at("12:00")))
    assert_refused(answer, "hold_limit_reached", 409)
    assert everything(salon) == before
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)


def test_the_limit_is_the_tenants_own(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    salon.db.execute("update booking.tenants set max_holds_per_session = 1")
    for tenant in (salon, neighbour):
        reserve(tenant, slot_at(tenant))
        assert ask(tenant, slot_at(tenant, at("11:00"))).code == "hold_limit_reached"
    assert len(held(salon)) == 2


def test_the_limit_counts_all_people_of_the_tenant(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set max_holds_per_session = 1")
    colleague = salon.add_person()
    reserve(salon, slot_at(salon))
    answer = ask(salon, slot_at(salon, at("11:00"), person=colleague))
    assert answer.code == "hold_limit_reached"


def test_neither_a_replaced_nor_an_expired_nor_a_released_hold_counts(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set max_holds_per_session = 1")
    colleague = salon.add_person()
    reserve(salon, slot_at(salon))
    reserve(salon, slot_at(salon, at("10:15")))
    assert held(salon) == ["2026-03-03T09:15:00Z"]
    assert ask(salon, slot_at(salon, at("10:15"))).success, "asked again it is no other"

    set_clock(salon.db, WHEN_IT_EXPIRES)
    slot = slot_at(salon, person=colleague)
    reserve(salon, slot)
    assert len(holds(salon)) == 2, "the expired one is still there"
    assert call(salon, "release_slot", slot_id=slot, session_id=SESSION).success
    reserve(salon, slot_at(salon, at("12:00")))
    assert salon.differences() == []


# For which service, at which price


def test_the_only_service_that_fits_is_meant_and_its_price_quoted(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set price_cents = 4500, currency = 'CHF'"
        " where code = 'cut'"
    )
    answer = ask(salon, slot_at(salon))
    assert (answer.body["price_cents"], answer.body["currency"]) == (4500, "CHF")
    (hold,) = holds(salon)
    assert hold["appointment_type_id"] == salon.cut


@pytest.fixture
def trim(salon: Salon) -> UUID:
    """Another service with the cut's length, so with its slots, at another price."""
    return offered(salon, "trim", duration_minutes=30, price_cents=2000)


def test_where_two_services_fit_no_price_is_quoted(salon: Salon, trim: UUID) -> None:
    answer = ask(salon, slot_at(salon))
    assert answer.success
    assert answer.body.keys() == {"success", "slot_id", "reserved_until", "seat", "message"}
    (hold,) = holds(salon)
    assert (hold["appointment_type_id"], hold["quoted_price_cents"]) == (None, None)


def test_where_two_services_fit_the_named_one_is_quoted(salon: Salon, trim: UUID) -> None:
    answer = ask(salon, slot_at(salon), appointment_type="trim")
    assert (answer.body["price_cents"], answer.body["currency"]) == (2000, "EUR")
    (hold,) = holds(salon)
    assert hold["appointment_type_id"] == trim


def test_a_service_named_later_is_quoted_then_and_kept(salon: Salon, trim: UUID) -> None:
    slot = slot_at(salon)
    first = ask(salon, slot)
    set_clock(salon.db, "2026-03-02 07:05+01")
    second = ask(salon, slot, appointment_type="trim")
    assert second.body == first.body | {"price_cents": 2000, "currency": "EUR"}
    assert ask(salon, slot) == second
    third = ask(salon, slot, appointment_type="cut")
    assert third.body == second.body | {"price_cents": 0}
    (hold,) = holds(salon)
    assert hold["appointment_type_id"] == salon.cut


def test_what_was_quoted_stands_while_the_hold_does(salon: Salon) -> None:
    slot = slot_at(salon)
    first = ask(salon, slot)
    salon.db.execute("update booking.appointment_types set price_cents = 9900 where code = 'cut'")
    assert ask(salon, slot) == first
    assert create(salon, slot).body["price_cents"] == first.body["price_cents"] == 0


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("massage", ""),
        ("", ""),
        ("Cut", ""),
        ("course", ""),
        ("colour", "insert into booking.appointment_types (tenant_id, code, name, duration_minutes)"
         " select id, 'colour', 'Colour', 30 from booking.tenants"),
        ("trim", "update booking.appointment_types set is_active = false where code = 'trim'"),
    ],
    ids=["unknown", "empty", "case", "other length", "not offered", "inactive"],
)  # fmt: skip
def test_a_service_that_does_not_fit_is_refused(
    salon: Salon, trim: UUID, code: str, change: str
) -> None:
    slot = slot_at(salon)
    if change:
        salon.db.execute(change.encode())
    answer = ask(salon, slot, appointment_type=code)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"].startswith(f'appointment_type is "{code}"; expected one that')
    assert holds(salon) == []


def test_a_service_of_another_tenant_does_not_fit(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    offered(neighbour, "shave", duration_minutes=30)
    answer = ask(salon, slot_at(salon), appointment_type="shave")
    assert answer.body["message"] == (
        'appointment_type is "shave"; expected one that this slot can be booked for: "cut".'
    )


# What cannot be reserved


def test_what_is_no_slots_id_is_not_found(salon: Salon) -> None:
    for slot in (None, uuid4(), salon.person):
        answer = ask(salon, slot)
        assert_refused(answer, "slot_not_found", 404)


@pytest.mark.parametrize(
    "change",
    [
        "update booking.staff set is_active = false",
        "update booking.tenants set is_active = false",
        "update booking.locations set is_active = false",
        "update booking.appointment_types set is_active = false",
        "delete from booking.staff_appointment_types",
        "update booking.working_hours set start_time = '10:15'",
        "update booking.working_hours set start_time = '09:10'",
        "update booking.working_hours set end_time = '10:15'",
        "insert into booking.breaks (tenant_id, start_time, end_time)"
        " select id, '10:15', '10:20' from booking.tenants",
        "insert into booking.schedule_exceptions (tenant_id, first_date, last_date, kind)"
        " select id, '2026-03-03', '2026-03-03', 'closed' from booking.tenants",
        "insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source)"
        " select tenant_id, id, '2026-03-03 10:29+01', '2026-03-03 10:31+01', 'x'"
        " from booking.staff",
        "insert into booking.appointments (tenant_id, staff_id, location_id, appointment_type_id,"
        "   start_time, end_time)"
        " select s.tenant_id, s.id, l.id, t.id, '2026-03-03 09:50+01', '2026-03-03 10:01+01'"
        " from booking.staff s, booking.locations l, booking.appointment_types t"
        " where t.code = 'cut'",
        "update booking.appointment_types set max_advance_days = 1 where code = 'cut'",
        "update booking.appointment_types set min_notice_minutes = 1621 where code = 'cut'",
        "update booking.tenants set booking_horizon_days = 1; "
        "select set_config('booking.fake_now', '2026-03-01 23:59+01', false)",
        "select set_config('booking.fake_now', '2026-03-03 10:00+01', false)",
        "select set_config('booking.fake_now', '2026-03-04 07:00+01', false)",
    ],
)
def test_who_is_off_duty_looks_like_who_is_busy(salon: Salon, change: str) -> None:
    assert ask(salon, slot_at(salon)).success
    assert call(salon, "release_slot", slot_id=slot_at(salon), session_id=SESSION).success
    for statement in change.split("; "):
        salon.db.execute(statement.encode())
    before = everything(salon)
    # Notice and advance belong to the slot's name: ask for what is at ten now.
    answer = ask(salon, **named(salon, salon.cut))
    assert (answer.status, answer.headers, answer.body) == (409, {}, TAKEN)
    assert everything(salon) == before


@pytest.mark.parametrize(
    ("column", "value", "too_soon", "in_time"),
    [
        ("min_notice_minutes", 60, "2026-03-03 09:00:00+01", "2026-03-03 08:59:59+01"),
        ("max_advance_days", 1, "2026-03-02 09:59:59+01", "2026-03-02 10:00:00+01"),
    ],
)
def test_notice_and_advance_are_exact(
    salon: Salon, column: str, value: int, too_soon: str, in_time: str
) -> None:
    salon.db.execute(
        f"update booking.appointment_types set {column} = {value} where code = 'cut'".encode()
    )
    slot = slot_at(salon)
    set_clock(salon.db, too_soon)
    assert "10:00" not in listed(salon, salon.cut)
    assert ask(salon, slot).body == TAKEN
    set_clock(salon.db, in_time)
    assert "10:00" in listed(salon, salon.cut)
    reserve(salon, slot)


def test_a_slot_can_be_reserved_until_it_starts(salon: Salon) -> None:
    slot = slot_at(salon)
    set_clock(salon.db, "2026-03-03 10:00+01")
    assert ask(salon, slot).body == TAKEN
    set_clock(salon.db, "2026-03-03 09:59:59.999999+01")
    reserve(salon, slot)


def test_with_the_right_tenant_id_it_is_found_and_with_another_it_is_not(salon: Salon) -> None:
    neighbour = make_salon(salon.db)
    slot = slot_at(salon)
    for tenant_id in (neighbour.tenant, uuid4()):
        answer = ask(salon, slot, tenant_id=tenant_id)
        assert (answer.status, answer.body) == (409, TAKEN)
    assert holds(salon) == holds(neighbour) == []
    assert ask(salon, slot, tenant_id=salon.tenant).success


# A slot that has no row: beyond the pre-computed days


@pytest.fixture
def far(salon: Salon) -> dict[str, Any]:
    """The arguments of a cut on the fifth day, where rows end with the second."""
    salon.db.execute("update booking.tenants set precompute_days = 2")
    arguments = named(salon, salon.cut, at("10:00", day=7))
    assert rows(salon, "select from booking.availability_slots where start_time > %s",
                at("00:00", day=5)) == []  # fmt: skip
    return arguments


def test_a_slot_beyond_the_precomputed_days_is_found_by_what_the_listing_said(
    salon: Salon, far: dict[str, Any]
) -> None:
    answer = ask(salon, **far)
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "slot_id": str(far["slot_id"]),
        "reserved_until": "2026-03-02T06:10:00Z",
        "seat": 1,
        "price_cents": 0,
        "currency": "EUR",
        "message": "Held for you until 2026-03-02T06:10:00Z.",
    }
    assert held(salon) == ["2026-03-07T09:00:00Z"]
    assert salon.differences() == []
    (record,) = audit_rows(salon)
    assert (record["tenant_id"], record["staff_id"]) == (salon.tenant, salon.person)
    assert create(salon, UUID(str(far["slot_id"]))).success, "its id is enough for who holds it"


def test_beyond_the_precomputed_days_a_hold_binds_others(salon: Salon, far: dict[str, Any]) -> None:
    first = ask(salon, **far)
    overlapping = named(salon, salon.course, at("09:15", day=7))
    for slot in (far, overlapping):
        assert ask(salon, **slot, session_id=OTHER_SESSION).body == TAKEN
    set_clock(salon.db, "2026-03-02 07:05+01")
    assert ask(salon, **far) == first
    assert ask(salon, far["slot_id"]) == first, "its id is enough for who holds it"

    set_clock(salon.db, WHEN_IT_EXPIRES)
    reserve_far = ask(salon, **overlapping, session_id=OTHER_SESSION)
    assert reserve_far.success
    assert held(salon) == []


def test_beyond_the_precomputed_days_all_of_it_must_be_said(
    salon: Salon, far: dict[str, Any]
) -> None:
    for missing in ("tenant_id", "staff_id", "location_id", "start_time"):
        answer = ask(salon, **(far | {missing: None}))
        assert (answer.status, answer.body, missing) == (409, TAKEN, missing)
    for wrong in (
        {"tenant_id": UUID(int=0)},
        {"staff_id": UUID(int=0)},
        {"location_id": UUID(int=0)},
        {"start_time": at("10:15", day=7)},
    ):
        answer = ask(salon, **(far | wrong))
        assert (answer.status, answer.body, wrong) == (409, TAKEN, wrong)
    assert holds(salon) == []
    assert ask(salon, **far).success


def test_a_name_that_anyone_can_make_up_is_no_slot(salon: Salon, far: dict[str, Any]) -> None:
    salon.appointment(at("13:00", day=7))
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=at("14:00", day=7),
        end_time=at("14:30", day=7),
        source="test",
    )
    for reason, start in {
        "off the grid": at("10:07", day=7),
        "a second late": at("10:00:01", day=7),
        "booked": at("12:45", day=7),
        "busy": at("14:15", day=7),
        "before work": at("08:45", day=7),
        "does not fit": at("16:45", day=7),
        "beyond the horizon": at("10:00", day=13),
        "in the past": at("10:00", day=1),
        "far away": datetime.fromisoformat("4026-03-03 10:00+01"),
    }.items():
        assert (ask(salon, **named(salon, salon.cut, start)).body, reason) == (TAKEN, reason)
    assert holds(salon) == []


def test_the_last_day_of_the_horizon_can_be_reserved(salon: Salon, far: dict[str, Any]) -> None:
    assert ask(salon, **named(salon, salon.cut, at("10:00", day=12))).success


@pytest.mark.parametrize("start", ["infinity", "-infinity", "294276-12-31 23:59:59+00"])
def test_a_start_beyond_all_calendars_is_refused_and_on_record(salon: Salon, start: str) -> None:
    answer = ask(salon, **named(salon, salon.cut, start))
    assert not answer.success
    assert len(audit_rows(salon)) == 1


def test_a_place_and_a_person_of_another_tenant_make_no_slot(
    salon: Salon, far: dict[str, Any]
) -> None:
    neighbour = make_salon(salon.db)
    start = at("10:00", day=7)
    for made_up in (
        named(salon, salon.cut, start, person=neighbour.person),
        named(salon, salon.cut, start, location=neighbour.location),
        named(neighbour, salon.cut, start),
    ):
        assert ask(salon, **made_up).body == TAKEN
    assert holds(salon) == holds(neighbour) == []


# What a session holds


def test_a_session_is_told_what_it_holds(salon: Salon, trim: UUID) -> None:
    colleague = salon.add_person()
    later, sooner = slot_at(salon, at("11:00")), slot_at(salon, person=colleague)
    ask(salon, later, appointment_type="trim")
    set_clock(salon.db, "2026-03-02 07:05+01")
    ask(salon, sooner)
    course = slot_at(salon, at("13:00"), salon.course)
    ask(salon, course, OTHER_SESSION)
    ask(salon, course)
    answer = call(salon, "get_reservations", session_id=SESSION)
    tenant, location = str(salon.tenant), str(salon.location)
    assert answer == Answer(200, {"success": True, "reservations": [
        {
            "slot_id": str(sooner),
            "tenant_id": tenant,
            "staff_id": str(colleague),
            "location_id": location,
            "start_time": "2026-03-03T09:00:00Z",
            "end_time": "2026-03-03T09:30:00Z",
            "duration_minutes": 30,
            "seat": 1,
            "appointment_type": "cut",
            "price_cents": 0,
            "currency": "EUR",
            "reserved_until": "2026-03-02T06:15:00Z",
        },
        {
            "slot_id": str(later),
            "tenant_id": tenant,
            "staff_id": str(salon.person),
            "location_id": location,
            "start_time": "2026-03-03T10:00:00Z",
            "end_time": "2026-03-03T10:30:00Z",
            "duration_minutes": 30,
            "seat": 1,
            "appointment_type": "trim",
            "price_cents": 2000,
            "currency": "EUR",
            "reserved_until": "2026-03-02T06:10:00Z",
        },
        {
            "slot_id": str(course),
            "tenant_id": tenant,
            "staff_id": str(salon.person),
            "location_id": location,
            "start_time": "2026-03-03T12:00:00Z",
            "end_time": "2026-03-03T13:00:00Z",
            "duration_minutes": 60,
            "seat": 2,
            "appointment_type": "course",
            "price_cents": 0,
            "currency": "EUR",
            "reserved_until": "2026-03-02T06:15:00Z",
        },
    ]}, {})  # fmt: skip


def test_a_session_is_told_of_no_price_that_was_not_quoted(salon: Salon, trim: UUID) -> None:
    ask(salon, slot_at(salon))
    (hold,) = call(salon, "get_reservations", session_id=SESSION).body["reservations"]
    assert hold.keys().isdisjoint({"appointment_type", "price_cents", "currency"})


def test_a_session_is_told_of_all_tenants_but_of_no_other_session_and_nothing_expired(
    salon: Salon,
) -> None:
    neighbour = make_salon(salon.db)
    reserve(salon, slot_at(salon))
    set_clock(salon.db, "2026-03-02 07:05+01")
    reserve(neighbour, slot_at(neighbour, at("11:00")))
    reserve(salon, slot_at(salon, at("12:00")), OTHER_SESSION)
    assert held(salon) == ["2026-03-03T09:00:00Z", "2026-03-03T10:00:00Z"]
    set_clock(salon.db, WHEN_IT_EXPIRES)
    assert held(salon) == ["2026-03-03T10:00:00Z"]
    assert held(salon, OTHER_SESSION) == ["2026-03-03T11:00:00Z"]
    for stranger in ("%" * 25, "_" * 25, "nobody-in-particular", SESSION.upper()):
        assert held(salon, stranger) == []


def test_telling_leaves_no_trace(salon: Salon) -> None:
    reserve(salon, slot_at(salon))
    before = everything(salon), audit_rows(salon)
    held(salon)
    assert (everything(salon), audit_rows(salon)) == before


# How it may be called


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "free"])
def test_a_session_id_never_stands_in_an_address(salon: Salon, is_held: bool) -> None:
    slot = slot_at(salon)
    if is_held:
        reserve(salon, slot)
    before = everything(salon), audit_rows(salon)
    arguments: dict[str, dict[str, Any]] = {
        "reserve_slot": {"slot_id": slot},
        "release_slot": {"slot_id": slot},
        "get_reservations": {},
    }
    for function, more in arguments.items():
        for method in ("GET", "HEAD"):
            with pytest.raises(errors.ReadOnlySqlTransaction):
                Api(salon.db).call(function, method=method, session_id=SESSION, **more)
    assert (everything(salon), audit_rows(salon)) == before


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("rival", ["10:00", "10:15"], ids=["same slot", "overlapping"])
def test_a_caller_with_an_old_snapshot_is_asked_to_try_again(
    salon: Salon, connect: Callable[[], Session], level: str, rival: str
) -> None:
    late = connect()
    set_clock(late)
    slot, rival_slot = slot_at(salon), slot_at(salon, at(rival))
    late.execute(f"begin isolation level {level}".encode())
    late.execute("select count(*) from booking.availability_slots")
    reserve(salon, rival_slot, OTHER_SESSION)
    before = everything(salon)
    answer = Api(late).call("reserve_slot", slot_id=slot, session_id=SESSION)
    late.execute("commit")
    assert_refused(answer, "busy", 503)
    assert answer.headers == {"Retry-After": "1"}
    assert everything(salon) == before
    (_, record) = audit_rows(salon)
    assert (record["outcome"], record["code"]) == ("refused", "busy")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_caller_with_an_old_snapshot_does_not_book_over_an_appointment(
    salon: Salon, connect: Callable[[], Session], level: str
) -> None:
    late = connect()
    set_clock(late)
    late.execute(f"begin isolation level {level}".encode())
    late.execute("select count(*) from booking.availability_slots")
    salon.appointment()
    answer = Api(late).call("reserve_slot", slot_id=named(salon, salon.cut)["slot_id"],
                            session_id=SESSION)  # fmt: skip
    late.execute("commit")
    assert answer.code == "busy"
    assert holds(salon) == []
    assert salon.differences() == []


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_caller_with_a_snapshot_that_is_still_true_gets_the_slot(
    salon: Salon, connect: Callable[[], Session], level: str
) -> None:
    session = connect()
    set_clock(session)
    slot = slot_at(salon)
    session.execute(f"begin isolation level {level}".encode())
    assert Api(session).call("reserve_slot", slot_id=slot, session_id=SESSION).success
    session.execute("commit")
    assert ask(salon, slot, OTHER_SESSION).body == TAKEN
    assert salon.differences() == []


def test_what_is_not_published_is_refused_without_waiting_for_the_calendar(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    reserve(salon, slot_at(salon))
    writer = connect()
    writer.execute("begin")
    writer.execute("update booking.calendars set revision = revision + 1")
    for asked in (
        named(salon, salon.cut),
        named(salon, salon.cut, at("10:15")),
        named(salon, salon.cut, at("12:07")),
        named(salon, salon.cut, at("20:00")),
    ):
        assert ask(salon, **asked, session_id=OTHER_SESSION).body == TAKEN
    writer.execute("rollback")


def test_who_waits_in_vain_is_told_so_before_their_patience_ends(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    slot = slot_at(salon)
    writer = connect()
    writer.execute("begin")
    writer.execute("update booking.calendars set revision = revision + 1")
    began = time.monotonic()
    answer = ask(salon, slot)
    assert_refused(answer, "busy", 503)
    # Supabase gives anonymous callers 3 s.
    assert 1 < time.monotonic() - began < 3
    writer.execute("rollback")
    assert ask(salon, slot).success


def test_who_runs_out_of_time_is_told_so_on_record(
    salon: Salon, connect: Callable[[], Session]
) -> None:
    slot = slot_at(salon)
    writer = connect()
    writer.execute("begin")
    writer.execute("update booking.calendars set revision = revision + 1")
    salon.db.execute("set statement_timeout = '300ms'")
    assert_refused(ask(salon, slot), "busy", 503)
    writer.execute("rollback")
    (record,) = audit_rows(salon)
    assert (record["outcome"], record["code"]) == ("refused", "busy")


# What is published is believed only where it is sure


@pytest.mark.parametrize("table", ["appointments", "busy_times"])
def test_what_takes_time_is_seen_though_it_was_never_published(salon: Salon, table: str) -> None:
    slot = slot_at(salon, at("10:00"))
    with salon.db.transaction():
        salon.db.execute("set local session_replication_role = replica")
        if table == "appointments":
            salon.appointment(at("10:15"))
        else:
            salon.insert(table, staff_id=salon.person, start_time=at("10:15"), end_time=at("11:00"))
    assert_refused(ask(salon, slot), "slot_taken", 409)


def test_a_queued_calendar_is_calculated(salon: Salon) -> None:
    slot = slot_at(salon, at("10:00"))
    with salon.db.transaction():
        salon.db.execute("set local session_replication_role = replica")
        salon.db.execute("delete from booking.working_hours")
        salon.db.execute(
            "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, %s)",
            (salon.tenant, salon.person, "hours changed"),
        )
    assert_refused(ask(salon, slot), "slot_taken", 409)
