"""create_appointment: who holds a slot books it and nobody else; refused, it changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from tests.api import ANON, SERVICE, Caller
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    OTHER_SESSION,
    SESSION,
    add_service,
    appointment,
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
    user_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

NINE_MINUTES_LATER = "2026-03-02 07:09:59.999999+01"
WHEN_IT_EXPIRES = "2026-03-02 07:10+01"


def test_what_is_held_is_booked_and_the_hold_ends(salon: Salon) -> None:
    slot = salon.slot(salon.cut)
    reserve(salon, slot["slot_id"])
    answer = create(salon, slot["slot_id"], notes="Short, please")
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "appointment_id": answer.body["appointment_id"],
        "status": "confirmed",
        "start_time": "2026-03-03T09:00:00Z",
        "end_time": "2026-03-03T09:30:00Z",
        "price_cents": 0,
        "currency": "EUR",
        "manage_token": answer.body["manage_token"],
        "payment_required": False,
        "payment_due_at": None,
        "payment_url": None,
    }
    booked = appointment(salon, UUID(answer.body["appointment_id"]))
    assert booked.items() >= (slot | {"customer": ADAS_DATA, "notes": "Short, please"}).items()
    assert booked["customer_id"] == user_of(ADA)
    assert (booked["seat"], booked["status"], booked["source"]) == (1, "confirmed", "api")
    assert holds(salon) == []
    assert not salon.available(salon.cut)
    assert salon.differences() == []


def test_buffers_of_the_service_are_booked_with_it(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set buffer_before_minutes = 5, buffer_after_minutes = 10"
        " where id = %s",
        (salon.cut,),
    )
    booked = appointment(salon, book(salon).appointment)
    assert (booked["buffer_before_minutes"], booked["buffer_after_minutes"]) == (5, 10)
    assert booked["claim"].lower == TEN - timedelta(minutes=5)
    assert booked["claim"].upper == TEN + timedelta(minutes=40)
    assert salon.differences() == []


def test_of_a_class_the_seat_that_is_held_is_booked(salon: Salon) -> None:
    slot = slot_at(salon, type_id=salon.course)
    reserve(salon, slot, OTHER_SESSION, BOB, "course")
    assert reserve(salon, slot, appointment_type="course").body["seat"] == 2
    assert call(salon, "release_slot", slot_id=slot, session_id=OTHER_SESSION).success
    answer = create(salon, slot, appointment_type="course")
    booked = appointment(salon, UUID(answer.body["appointment_id"]))
    assert (booked["seat"], booked["capacity"]) == (2, 10)
    assert holds(salon) == []
    assert salon.differences() == []


# Whose hold it is


def test_a_signed_in_customer_books_their_hold_without_its_session(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot, caller=ADA)
    assert create(salon, slot, session_id=None).success
    assert salon.differences() == []


def test_what_was_held_before_signing_in_is_booked_by_its_session(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot, caller=ANON)
    answer = create(salon, slot)
    assert appointment(salon, UUID(answer.body["appointment_id"]))["customer_id"] == user_of(ADA)


@pytest.mark.parametrize(
    ("caller", "session_id"),
    [(ADA, OTHER_SESSION), (BOB, OTHER_SESSION), (BOB, None), (SERVICE, OTHER_SESSION)],
    ids=["wrong session", "wrong session and customer", "another customer", "a guest's session"],
)
def test_somebody_elses_hold_cannot_be_booked(
    salon: Salon, caller: Caller, session_id: str | None
) -> None:
    slot = slot_at(salon)
    reserve(salon, slot, caller=ADA)
    before = everything(salon)
    assert_refused(create(salon, slot, caller, session_id=session_id), "reservation_expired", 409)
    assert changes_since(salon, before) == []
    assert create(salon, slot).success, "the hold is as good as it was"


def test_what_nobody_holds_cannot_be_booked(salon: Salon) -> None:
    before = everything(salon)
    assert_refused(create(salon, slot_at(salon)), "reservation_expired", 409)
    assert changes_since(salon, before) == []


def test_a_hold_of_another_slot_is_not_enough(salon: Salon) -> None:
    reserve(salon, slot_at(salon), caller=ADA)
    later = slot_at(salon, TEN + timedelta(minutes=15))
    assert_refused(create(salon, later), "reservation_expired", 409)
    assert_refused(create(salon, later, session_id=None), "reservation_expired", 409)


def test_a_hold_cannot_be_booked_twice(salon: Salon) -> None:
    booking = book(salon)
    before = everything(salon)
    assert_refused(create(salon, booking.slot), "reservation_expired", 409)
    assert changes_since(salon, before) == []


def test_a_hold_of_one_tenant_cannot_be_booked_as_another_tenants(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    other = make_salon(salon.db)
    before = everything(salon)
    answer = create(salon, slot, tenant_id=other.tenant)
    assert_refused(answer, "reservation_expired", 409)
    assert changes_since(salon, before) == []
    assert create(salon, slot, tenant_id=salon.tenant).success


def test_a_hold_can_be_booked_until_it_expires(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, NINE_MINUTES_LATER)
    assert create(salon, slot).success
    assert salon.differences() == []


def test_and_not_from_then_on(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    set_clock(salon.db, WHEN_IT_EXPIRES)
    before = everything(salon)
    assert_refused(create(salon, slot), "reservation_expired", 409)
    assert changes_since(salon, before) == []


# What a hold keeps (rules 2 and 6) and what is asked again (1, 3 and 4)

KEPT = {
    "another alignment": "update booking.tenants set slot_alignment = 'clock'",
    "hours that begin off its grid": "update booking.working_hours set start_time = '09:00'",
    "a coarser grid": "update booking.tenants set slot_step_minutes = 240",
    "a longer notice": "update booking.tenants set min_notice_minutes = 4320",
    "a shorter advance": "update booking.appointment_types set max_advance_days = 1",
    "a nearer horizon": "update booking.tenants set booking_horizon_days = 1",
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("service", ["cut", "course"])
def test_a_hold_keeps_what_it_was_granted(salon: Salon, service: str, change: str) -> None:
    salon.db.execute("update booking.working_hours set start_time = '09:05'")
    start = TEN + timedelta(days=1, minutes=5)
    slot = slot_at(salon, start, salon.cut if service == "cut" else salon.course)
    reserve(salon, slot, appointment_type=service)
    salon.db.execute(change.encode())
    answer = create(salon, slot, appointment_type=service)
    assert answer.success, answer
    assert salon.differences() == []
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    again = call(salon, "reserve_slot", slot_id=slot, session_id=SESSION)
    assert_refused(again, "slot_taken", 409)


def test_a_hold_keeps_its_start_where_an_appointment_moves_the_grid(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set slot_alignment = 'gapless'")
    salon.db.execute("update booking.tenants set slot_step_minutes = 60")
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.appointment(TEN - timedelta(minutes=60), minutes=40)
    assert not salon.available(salon.cut)
    assert salon.available(salon.cut, TEN - timedelta(minutes=20)) is False, "held until ten past"
    assert create(salon, slot).success
    assert salon.differences() == []


def test_a_hold_is_booked_though_the_notice_has_passed_meanwhile(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set min_notice_minutes = 60")
    slot = slot_at(salon)
    set_clock(salon.db, "2026-03-03 08:59+01")
    reserve(salon, slot)
    set_clock(salon.db, "2026-03-03 09:05+01")
    assert create(salon, slot).success
    assert salon.differences() == []


CONFLICTS = {
    "the hours are gone": "delete from booking.working_hours",
    "the hours end before it does": "update booking.working_hours set end_time = '10:29'",
    "the hours begin after it does": "update booking.working_hours set start_time = '10:01'",
    "a break": "insert into booking.breaks (tenant_id, start_time, end_time)"
    " select id, '10:29', '11:00' from booking.tenants",
    "a holiday": "insert into booking.schedule_exceptions"
    " (tenant_id, first_date, last_date, kind)"
    " select id, '2026-03-03', '2026-03-03', 'closed' from booking.tenants",
    "busy elsewhere": "insert into booking.busy_times"
    " (tenant_id, staff_id, start_time, end_time, source)"
    " select tenant_id, id, '2026-03-03 10:29+01', '2026-03-03 11:00+01', 'diary'"
    " from booking.staff",
    "the person is inactive": "update booking.staff set is_active = false",
    "the person does not do it": "delete from booking.staff_appointment_types",
    "the place is inactive": "update booking.locations set is_active = false",
    "the service is inactive": "update booking.appointment_types set is_active = false",
    "the tenant is inactive": "update booking.tenants set is_active = false",
    "the service takes longer": "update booking.appointment_types set duration_minutes = 45",
}


@pytest.mark.parametrize("change", CONFLICTS.values(), ids=CONFLICTS)
def test_where_the_tenant_changed_the_calendar_the_hold_is_not_booked(
    salon: Salon, change: str
) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.db.execute(change.encode())
    before = everything(salon)
    assert_refused(create(salon, slot), "appointment_conflict", 409)
    assert changes_since(salon, before) == []
    assert salon.differences() == []


def test_a_service_given_up_is_a_conflict_where_others_share_its_slots_too(salon: Salon) -> None:
    add_service(salon, "shave")
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.db.execute("update booking.appointment_types set is_active = false where code = 'cut'")
    assert_refused(create(salon, slot), "appointment_conflict", 409)


def test_a_seat_that_a_smaller_class_has_no_more_is_a_conflict(salon: Salon) -> None:
    slot = slot_at(salon, type_id=salon.course)
    for number in range(3):
        reserve(salon, slot, f"session-number-{number}", appointment_type="course")
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    before = everything(salon)
    third = create(salon, slot, session_id="session-number-2", appointment_type="course")
    assert_refused(third, "appointment_conflict", 409)
    assert changes_since(salon, before) == []
    salon.db.execute("update booking.appointment_types set capacity = 3 where code = 'course'")
    for number in range(3):
        answer = create(
            salon, slot, session_id=f"session-number-{number}", appointment_type="course"
        )
        assert answer.success, answer
    assert salon.differences() == []


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_an_appointment_written_by_hand_takes_the_hold(salon: Salon, minutes: int) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.appointment(TEN + timedelta(minutes=minutes))
    before = everything(salon)
    assert_refused(create(salon, slot), "reservation_expired", 409)
    assert changes_since(salon, before) == []
    assert salon.differences() == []


@pytest.mark.parametrize("minutes", [-30, 30])
def test_but_not_one_that_only_touches_it(salon: Salon, minutes: int) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    salon.appointment(TEN + timedelta(minutes=minutes))
    assert create(salon, slot).success
    assert salon.differences() == []


# Which service


def test_a_slot_is_booked_for_any_service_that_fits_it(salon: Salon) -> None:
    shave = add_service(salon, "shave", price_cents=1500)
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = create(salon, slot, appointment_type="shave")
    booked = appointment(salon, UUID(answer.body["appointment_id"]))
    assert (booked["appointment_type_id"], booked["price_cents"]) == (shave, 1500)


@pytest.mark.parametrize("code", ["course", "CUT", "cut ", "no-such-service", "", "x" * 101])
def test_and_for_no_other(salon: Salon, code: str) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    before = everything(salon)
    answer = create(salon, slot, appointment_type=code)
    assert_refused(answer, "invalid_request", 400)
    assert "appointment_type" in answer.body["message"]
    assert changes_since(salon, before) == []


def test_a_wrong_service_is_told_which_ones_fit(salon: Salon) -> None:
    add_service(salon, "shave")
    slot = slot_at(salon)
    reserve(salon, slot)
    message = create(salon, slot, appointment_type="course").body["message"]
    assert message == (
        'appointment_type is "course"; expected one that this slot can be booked for:'
        ' "cut", "shave".'
    )


# Who books


def test_the_service_books_for_a_guest(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = create(salon, slot, SERVICE)
    booked = appointment(salon, UUID(answer.body["appointment_id"]))
    assert (booked["customer_id"], booked["customer"]) == (None, ADAS_DATA)
    assert salon.differences() == []


def test_the_service_must_say_the_guests_session(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    answer = create(salon, slot, SERVICE, session_id=None)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"] == "session_id is missing; expected 16 to 128 characters."


def test_an_anonymous_caller_may_not_call_it(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    with pytest.raises(errors.InsufficientPrivilege):
        create(salon, slot, ANON)


def test_a_token_without_a_user_id_books_nothing(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot)
    before = everything(salon)
    for claims in ({}, {"sub": "ada"}, {"sub": None}):
        answer = create(salon, slot, Caller("authenticated", claims))
        assert_refused(answer, "not_authenticated", 401)
    assert changes_since(salon, before) == []


# The manage token


def test_the_manage_token_is_kept_only_as_its_hash(salon: Salon) -> None:
    booking = book(salon, notes="a note", idempotency_key="a-key")
    assert len(booking.token) == 64
    kept = appointment(salon, booking.appointment)["manage_token_hash"]
    assert kept == hashlib.sha256(booking.token.encode()).digest()
    assert_kept_nowhere(salon, booking.token)
    assert_kept_nowhere(salon, SESSION)


def test_each_booking_has_a_token_of_its_own(salon: Salon) -> None:
    tokens = {book(salon, slot_at(salon, TEN + timedelta(hours=hour))).token for hour in range(4)}
    assert len(tokens) == 4


def assert_kept_nowhere(salon: Salon, secret: str) -> None:
    """No row of any table contains that text."""
    tables = rows(salon, "select tablename from pg_catalog.pg_tables where schemaname = 'booking'")
    assert len(tables) > 20
    for table in tables:
        name = table["tablename"]
        found = rows(
            salon, f"select from booking.{name} as t where to_jsonb(t)::text like %s", f"%{secret}%"
        )
        assert found == [], name


# Bad requests: the field is named, the customer's own words are not repeated, the hold stays


@pytest.fixture(scope="module")
def held(shared_salon: Salon) -> Iterator[UUID]:
    """A slot that is held for the module's refused requests, and free again after them."""
    slot = slot_at(shared_salon)
    reserve(shared_salon, slot)
    before = everything(shared_salon)
    yield slot
    assert changes_since(shared_salon, before) == []
    assert create(shared_salon, slot).success


REFUSED_DATA: dict[str, tuple[Any, str]] = {
    "no object": ("Ada", "user_data is string"),
    "a list": ([{"name": "Ada", "email": "ada@example.org"}], "user_data is array"),
    "null": (None, "user_data is missing"),
    "empty": ({}, "user_data.name is missing"),
    "no name": ({"email": "ada@example.org"}, "user_data.name is missing"),
    "null as name": ({"name": None, "email": "ada@example.org"}, "user_data.name is missing"),
    "a number as name": ({"name": 7, "email": "ada@example.org"}, "user_data.name is of type num"),
    "an empty name": ({"name": "", "email": "ada@example.org"}, "user_data.name is not valid"),
    "a blank name": ({"name": " \u3000", "email": "a@example.org"}, "user_data.name is not valid"),
    "a line break in the name": (
        {"name": "Ada\nBcc: all@example.org", "email": "ada@example.org"},
        "user_data.name is not valid",
    ),
    "a carriage return at its end": (
        {"name": "Ada\r", "email": "ada@example.org"},
        "user_data.name is not valid",
    ),
    "a final line break": (
        {"name": "Ada\n", "email": "ada@example.org"},
        "user_data.name is not valid",
    ),
    "a delete in the name": (
        {"name": "Ada\x7f", "email": "ada@example.org"},
        "user_data.name is not valid",
    ),
    "201 characters of name": (
        {"name": "A" * 201, "email": "ada@example.org"},
        "user_data.name is 201 characters long",
    ),
    "neither email nor phone": ({"name": "Ada"}, "user_data has neither email nor phone"),
    "both null": (
        {"name": "Ada", "email": None, "phone": None},
        "user_data has neither email nor phone",
    ),
    "no address": ({"name": "Ada", "email": "lovelace"}, "user_data.email is not valid"),
    "an address without a host": (
        {"name": "Ada", "email": "lovelace@"},
        "user_data.email is not valid",
    ),
    "an address without a user": ({"name": "Ada", "email": "@a.org"}, "user_data.email is not val"),
    "two addresses": (
        {"name": "Ada", "email": "ada@example.org,bob@example.org"},
        "user_data.email is not valid",
    ),
    "an address with a header": (
        {"name": "Ada", "email": "ada@example.org\nBcc:bob"},
        "user_data.email is not valid",
    ),
    "a final line break in the address": (
        {"name": "Ada", "email": "ada@example.org\n"},
        "user_data.email is not valid",
    ),
    "321 characters of address": (
        {"name": "Ada", "email": "a" * 309 + "@example.org"},
        "user_data.email is 321 characters long",
    ),
    "a list of addresses": (
        {"name": "Ada", "email": ["ada@example.org"]},
        "user_data.email is of type array",
    ),
    "words as phone": ({"name": "Ada", "phone": "call me"}, "user_data.phone is not valid"),
    "two digits as phone": ({"name": "Ada", "phone": "+1-2"}, "user_data.phone is not valid"),
    "a bad phone beside an address": (
        {"name": "Ada", "email": "ada@example.org", "phone": "none"},
        "user_data.phone is not valid",
    ),
    "51 characters of phone": (
        {"name": "Ada", "phone": "1" * 51},
        "user_data.phone is 51 characters long",
    ),
    "a number as phone": ({"name": "Ada", "phone": 4312345678}, "user_data.phone is of type num"),
    "no locale": (ADAS_DATA | {"locale": "de AT"}, "user_data.locale is not valid"),
    "36 characters of locale": (
        ADAS_DATA | {"locale": "d" * 36},
        "user_data.locale is 36 characters long",
    ),
    "no time zone": (ADAS_DATA | {"timezone": "<b>"}, "user_data.timezone is not valid"),
    "101 characters of time zone": (
        ADAS_DATA | {"timezone": "E" * 101},
        "user_data.timezone is 101 characters long",
    ),
    "more than 8 kB": (ADAS_DATA | {"form": "x" * 8192}, "user_data has 82"),
    "more than 8 kB of fewer letters": (
        ADAS_DATA | {"form": "\u20ac" * 2731},
        "user_data has 82",
    ),
}


@pytest.mark.parametrize(("data", "message"), REFUSED_DATA.values(), ids=REFUSED_DATA)
def test_user_data_is_refused(shared_salon: Salon, held: UUID, data: Any, message: str) -> None:
    answer = create(shared_salon, held, user_data=as_jsonb(data))
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"].startswith(message)
    assert "expected" in answer.body["message"]
    said = list(data.values()) if isinstance(data, dict) else []
    for value in said:
        assert not (isinstance(value, str) and value and value in answer.body["message"])


def test_a_zero_character_is_refused_by_the_server_itself(shared_salon: Salon, held: UUID) -> None:
    with pytest.raises(errors.UntranslatableCharacter):
        create(shared_salon, held, user_data={"name": "Ada\0", "email": "ada@example.org"})


OTHER_BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "long notes": ({"notes": "n" * 2001}, "notes is 2001 characters long"),
    "an empty key": ({"idempotency_key": ""}, 'idempotency_key is ""'),
    "a long key": ({"idempotency_key": "k" * 256}, "idempotency_key is 256 characters long"),
    "a short session": ({"session_id": "s" * 15}, "session_id is 15 characters long"),
    "a long session": ({"session_id": "s" * 129}, "session_id is 129 characters long"),
}


@pytest.mark.parametrize(
    ("arguments", "message"), OTHER_BAD_REQUESTS.values(), ids=OTHER_BAD_REQUESTS
)
def test_a_bad_request_is_refused(
    shared_salon: Salon, held: UUID, arguments: dict[str, Any], message: str
) -> None:
    answer = create(shared_salon, held, **arguments)
    assert_refused(answer, "invalid_request", 400)
    assert answer.body["message"].startswith(message)


def test_an_id_that_can_be_no_slots_is_not_found(shared_salon: Salon, held: UUID) -> None:
    assert_refused(create(shared_salon, uuid4()), "slot_not_found", 404)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "Ada", "email": "ada@example.org"},
        {"name": "Ada", "phone": "+43 (1) 234/56.78-9"},
        {"name": "Zoë 李 O'Brien-Łuk", "email": "zoë@exämple.org", "phone": None},
        {"name": "A" * 200, "email": "a" * 308 + "@example.org", "phone": "1" * 50},
        ADAS_DATA | {"locale": "de-AT", "timezone": "America/Argentina/Buenos_Aires"},
        ADAS_DATA | {"allergies": ["ammonia\n"], "newsletter": False, "": {"x": None}},
        ADAS_DATA | {"form": "x" * 8100},
    ],
    ids=["address", "phone", "letters of all kinds", "long", "locale", "unknown keys", "8 kB"],
)
def test_user_data_is_kept_as_it_came(salon: Salon, data: dict[str, Any]) -> None:
    booking = book(salon, user_data=data)
    assert appointment(salon, booking.appointment)["customer"] == data


def test_the_longest_notes_key_session_and_none_are_accepted(salon: Salon) -> None:
    for hour, session_id in enumerate(["s" * 16, "s" * 128]):
        slot = slot_at(salon, TEN + timedelta(hours=hour))
        reserve(salon, slot, session_id)
        answer = create(
            *(salon, slot),
            session_id=session_id,
            notes="ä" * 2000,
            idempotency_key=str(hour) + "ä" * 254,
        )
        assert answer.success, answer
    assert salon.differences() == []


def as_jsonb(data: object) -> object:
    """psycopg would send a string as it is, which is no JSON."""
    return Jsonb(data) if isinstance(data, str) else data
