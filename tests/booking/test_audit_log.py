"""audit_log: one row for each attempt, refused or not; nobody's data in it; nothing taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    OTHER_SESSION,
    SESSION,
    Booking,
    admin_of,
    audit_rows,
    book,
    call,
    create,
    direct_connection,
    reserve,
    rows,
    slot_at,
    staff_of,
    user_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

NOW = datetime.fromisoformat("2026-03-02 07:00+01:00")
NIL = UUID(int=0)
ELEVEN = TEN + timedelta(hours=1)


def sha256(text: str) -> bytes:
    """A secret as the tables keep it."""
    return hashlib.sha256(text.encode()).digest()


# One row for each call


@dataclass(frozen=True)
class Attempt:
    """A call, and what its row must say."""

    function: str
    arguments: Callable[[Salon, Booking], dict[str, Any]]
    caller: Caller = ANON
    code: str | None = None
    columns: Callable[[Salon, Booking], dict[str, Any]] = field(default=lambda _salon, _booking: {})


def at_eleven(salon: Salon, booking: Booking) -> dict[str, Any]:
    """The slot at eleven, asked for by the session that holds the one at noon."""
    return {"slot_id": slot_at(salon, ELEVEN), "session_id": SESSION}


def at_noon(salon: Salon, booking: Booking) -> dict[str, Any]:
    """The slot that the session holds."""
    return {"slot_id": slot_at(salon, TEN + timedelta(hours=2)), "session_id": SESSION}


def about_slot(salon: Salon, booking: Booking) -> dict[str, Any]:
    """What a row about a slot of the salon says."""
    return {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "session_hash": sha256(SESSION),
    }


def about_booking(salon: Salon, booking: Booking) -> dict[str, Any]:
    """What a row about the booking says."""
    return {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "appointment_id": booking.appointment,
    }


def about_nobody(salon: Salon, booking: Booking) -> dict[str, Any]:
    """What a row says where the tenant is unknown."""
    return {"tenant_id": NIL, "staff_id": None}


ATTEMPTS = {
    "reserved": Attempt("reserve_slot", at_eleven, columns=about_slot),
    "reserved again": Attempt("reserve_slot", at_noon, columns=about_slot),
    "reserved with anybody": Attempt(
        "reserve_time",
        lambda salon, _booking: {
            "tenant_id": salon.tenant,
            "start_time": ELEVEN,
            "appointment_type": "cut",
            "session_id": SESSION,
        },
        columns=lambda salon, booking: (
            about_slot(salon, booking) | {"slot_id": slot_at(salon, ELEVEN)}
        ),
    ),
    "nobody to reserve": Attempt(
        "reserve_time",
        lambda salon, _booking: {
            "tenant_id": salon.tenant,
            "start_time": TEN,
            "appointment_type": "cut",
            "session_id": SESSION,
        },
        ANON,
        "slot_taken",
        lambda salon, _booking: {
            "tenant_id": salon.tenant,
            "staff_id": None,
            "session_hash": sha256(SESSION),
        },
    ),
    "taken": Attempt(
        "reserve_slot",
        lambda _salon, booking: {"slot_id": booking.slot, "session_id": OTHER_SESSION},
        BOB,
        "slot_taken",
        lambda salon, booking: {
            "tenant_id": salon.tenant,
            "slot_id": booking.slot,
            "session_hash": sha256(OTHER_SESSION),
        },
    ),
    "no slot at all": Attempt(
        "reserve_slot",
        lambda _salon, booking: {"slot_id": booking.appointment, "session_id": SESSION},
        ANON,
        "slot_not_found",
        about_nobody,
    ),
    "a short session": Attempt(
        "reserve_slot",
        lambda salon, booking: at_eleven(salon, booking) | {"session_id": "short"},
        ANON,
        "invalid_request",
        lambda salon, _booking: {"tenant_id": salon.tenant, "session_hash": sha256("short")},
    ),
    "released": Attempt("release_slot", at_noon, columns=about_slot),
    "nothing to release": Attempt("release_slot", at_eleven, ANON, "not_found", about_slot),
    "booked": Attempt(
        "create_appointment",
        lambda salon, booking: (
            at_noon(salon, booking) | {"user_data": ADAS_DATA, "appointment_type": "cut"}
        ),
        ADA,
        columns=about_slot,
    ),
    "nobody signed in": Attempt(
        "create_appointment",
        lambda salon, booking: (
            at_noon(salon, booking) | {"user_data": ADAS_DATA, "appointment_type": "cut"}
        ),
        Caller("authenticated"),
        "not_authenticated",
        about_slot,
    ),
    "not held": Attempt(
        "create_appointment",
        lambda salon, booking: (
            at_eleven(salon, booking) | {"user_data": ADAS_DATA, "appointment_type": "cut"}
        ),
        ADA,
        "reservation_expired",
        about_slot,
    ),
    "bad data": Attempt(
        "create_appointment",
        lambda salon, booking: (
            at_noon(salon, booking) | {"user_data": {}, "appointment_type": "cut"}
        ),
        SERVICE,
        "invalid_request",
        about_slot,
    ),
    "moved": Attempt(
        "reschedule_appointment",
        lambda salon, booking: {
            "appointment_id": booking.appointment,
            "slot_id": slot_at(salon, ELEVEN),
        },
        ADA,
        columns=lambda salon, booking: (
            about_booking(salon, booking) | {"slot_id": slot_at(salon, ELEVEN)}
        ),
    ),
    "moved to a colleague": Attempt(
        "reschedule_appointment",
        lambda salon, booking: {
            "appointment_id": booking.appointment,
            "slot_id": slot_at(salon, ELEVEN, person=salon.add_person()),
        },
        ADA,
        columns=lambda salon, booking: (
            about_booking(salon, booking)
            | rows(salon, "select staff_id, slot_id from booking.appointments")[0]
        ),
    ),
    "moved onto what is held": Attempt(
        "reschedule_appointment",
        lambda salon, booking: {
            "appointment_id": booking.appointment,
            "slot_id": slot_at(salon, TEN + timedelta(hours=2)),
            "manage_token": booking.token,
        },
        ANON,
        "slot_taken",
        about_booking,
    ),
    "a stranger's move": Attempt(
        "reschedule_appointment",
        lambda _salon, booking: {
            "appointment_id": booking.appointment,
            "slot_id": uuid4(),
        },
        BOB,
        "not_found",
        lambda salon, booking: (
            about_nobody(salon, booking) | {"appointment_id": booking.appointment}
        ),
    ),
    "cancelled": Attempt(
        "cancel_appointment",
        lambda _salon, booking: {
            "appointment_id": booking.appointment,
            "manage_token": booking.token,
        },
        columns=about_booking,
    ),
    "a stranger's cancellation": Attempt(
        "cancel_appointment",
        lambda _salon, booking: {
            "appointment_id": booking.appointment,
            "manage_token": "0" * 64,
        },
        ANON,
        "not_found",
        about_nobody,
    ),
    "nobody's cancellation": Attempt(
        "cancel_appointment",
        lambda _salon, booking: {"appointment_id": booking.appointment},
        ANON,
        "not_authenticated",
        about_nobody,
    ),
    "no such appointment": Attempt(
        "cancel_appointment",
        lambda _salon, _booking: {"appointment_id": uuid4()},
        SERVICE,
        "not_found",
        about_nobody,
    ),
    "a payment": Attempt(
        "record_payment",
        lambda _salon, booking: {
            "appointment_id": booking.appointment,
            "payment_status": "paid",
            "payment_reference": "ref-1",
        },
        SERVICE,
        "invalid_status",
        about_booking,
    ),
}


@pytest.fixture
def booking(salon: Salon) -> Booking:
    """Ada's cut at ten; her session holds the one at noon."""
    return book_and_hold(salon)


def book_and_hold(salon: Salon) -> Booking:
    """Book the cut at ten, and hold the one at noon."""
    booking = book(salon)
    reserve(salon, slot_at(salon, TEN + timedelta(hours=2)))
    return booking


def what_it_was_about(
    salon: Salon, function: str, arguments: dict[str, Any], slot_id: UUID | None
) -> dict[str, str]:
    """For analytics: the service of the tenant that was named, and place and start of the slot."""
    if function not in ("reserve_slot", "reserve_time", "create_appointment"):
        return {}
    about = {}
    if "appointment_type" in arguments:
        about["appointment_type_id"] = str(salon.cut)
    for slot in rows(
        salon,
        "select s.location_id, s.start_time from booking.availability_slots s where s.id = %s",
        slot_id,
    ):
        about["location_id"] = str(slot["location_id"])
        about["start_time"] = slot["start_time"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return about


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_each_call_leaves_one_row(salon: Salon, booking: Booking, attempt: Attempt) -> None:
    before = len(audit_rows(salon))
    arguments = attempt.arguments(salon, booking)
    answer = call(salon, attempt.function, attempt.caller, **arguments)
    assert answer.code == attempt.code, answer
    (row,) = audit_rows(salon)[before:]
    user = user_of(attempt.caller) if "sub" in attempt.caller.claims else None
    expected: dict[str, Any] = {
        "occurred_at": NOW,
        "action": attempt.function,
        "outcome": "refused" if attempt.code else "success",
        "code": attempt.code,
        "actor_id": user,
        "actor_role": attempt.caller.role,
        "details": what_it_was_about(salon, attempt.function, arguments, row["slot_id"]),
        "slot_id": arguments.get("slot_id"),
    } | attempt.columns(salon, booking)
    assert row.items() >= expected.items()
    assert row["address_hash"] is not None
    if "appointment_id" in answer.body:
        assert row["appointment_id"] == UUID(answer.body["appointment_id"])


def test_a_repeated_booking_leaves_a_row_each_time(salon: Salon) -> None:
    booking = book(salon, idempotency_key="key")
    before = len(audit_rows(salon))
    assert create(salon, booking.slot, idempotency_key="key").success
    (row,) = audit_rows(salon)[before:]
    assert (row["action"], row["outcome"]) == ("create_appointment", "success")
    assert row["appointment_id"] == booking.appointment


def test_busy_is_on_record_too(
    salon: Salon, booking: Booking, connect: Callable[[], psycopg.Connection[Any]]
) -> None:
    other = connect()
    set_clock(other)
    before = len(audit_rows(salon))
    with salon.db.transaction():
        salon.db.execute("select from booking.calendars for update")
        answer = Api(other).call(
            "cancel_appointment", ADA, appointment_id=booking.appointment, manage_token=None
        )
    assert (answer.status, answer.code, answer.headers) == (503, "busy", {"Retry-After": "1"})
    (row,) = audit_rows(salon)[before:]
    assert (row["outcome"], row["code"]) == ("refused", "busy")


def test_staff_and_admins_are_named_by_their_user_and_role(salon: Salon) -> None:
    for hour, caller in enumerate([staff_of(salon), admin_of(salon)]):
        number = salon.appointment(TEN + timedelta(hours=hour))
        assert call(salon, "cancel_appointment", caller, appointment_id=number).success
        row = audit_rows(salon)[-1]
        assert (row["actor_id"], row["actor_role"]) == (user_of(caller), "authenticated")


def test_a_refused_attempt_at_another_tenants_slot_stands_there(salon: Salon) -> None:
    other = make_salon(salon.db)
    slot = slot_at(other)
    call(salon, "reserve_slot", slot_id=slot, session_id=SESSION, tenant_id=salon.tenant)
    row = audit_rows(salon)[-1]
    assert (row["tenant_id"], row["slot_id"], row["outcome"]) == (NIL, slot, "refused")


def test_a_read_only_request_is_an_error_and_changes_nothing(
    salon: Salon, booking: Booking
) -> None:
    with pytest.raises(errors.ReadOnlySqlTransaction):
        Api(salon.db).call(
            "cancel_appointment", ADA, method="GET", appointment_id=booking.appointment
        )
    assert rows(salon, "select status from booking.appointments") == [{"status": "confirmed"}]


# Where it came from, and what it must not know


def test_the_address_is_hashed_as_the_proxy_saw_it(salon: Salon) -> None:
    hashes = []
    for forwarded in ("198.51.100.7, 203.0.113.1", "198.51.100.8, 203.0.113.1:99", "203.0.113.2"):
        Api(salon.db).call(
            "release_slot",
            headers={"X-Forwarded-For": forwarded},
            slot_id=slot_at(salon),
            session_id=SESSION,
        )
        hashes.append(audit_rows(salon)[-1]["address_hash"])
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[2]) == 32


def test_without_an_address_there_is_no_hash(salon: Salon) -> None:
    salon.db.execute("update booking.settings set trusted_proxies = 0")
    call(salon, "release_slot", slot_id=slot_at(salon), session_id=SESSION)
    assert audit_rows(salon)[-1]["address_hash"] is None


def test_no_customer_data_is_in_any_row(salon: Salon) -> None:
    salon.db.execute(
        "update booking.appointment_types set price_cents = 1, requires_payment = true"
    )
    data = {
        "name": "Zenobia Quux",
        "email": "zenobia@quux.example",
        "phone": "+99 123456789",
        "allergy": "ammonia-allergy",
    }
    secrets = [*data.values(), "a-note", "a-reason", "a-key", "ref-77", "203.0.113.77", SESSION]
    slot = slot_at(salon)

    def send(function: str, caller: Caller, **arguments: Any) -> Answer:
        return Api(salon.db).call(
            function, caller, headers={"x-forwarded-for": "203.0.113.77"}, **arguments
        )

    request = {
        "slot_id": slot,
        "session_id": SESSION,
        "user_data": data,
        "appointment_type": "cut",
        "notes": "a-note",
        "idempotency_key": "a-key",
    }
    refused = request | {"user_data": data | {"email": "zenobia@quux.example\n"}}
    assert not send("create_appointment", ADA, **request).success
    assert send("reserve_slot", ANON, slot_id=slot, session_id=SESSION).success
    assert not send("create_appointment", ADA, **refused).success
    booked = send("create_appointment", ADA, **request).body
    again = send("create_appointment", ADA, **request).body
    assert not send("create_appointment", ADA, **request | {"notes": "other"}).success
    number = booked["appointment_id"]
    secrets += [booked["manage_token"], again["manage_token"]]
    payment = {"payment_status": "paid", "payment_reference": "ref-77"}
    assert send("record_payment", SERVICE, appointment_id=number, **payment).success
    token = {"appointment_id": number, "manage_token": again["manage_token"]}
    later = slot_at(salon, ELEVEN)
    assert send("reschedule_appointment", ANON, slot_id=later, **token).success
    assert send("cancel_appointment", ANON, reason="a-reason", **token).success
    assert not send("cancel_appointment", ANON, reason="a-reason", **token).success
    salon.appointment(customer=psycopg.types.json.Jsonb(data), notes="a-note")
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    salon.db.execute(
        "select booking.erase_customer(%s, p_email => 'zenobia@quux.example')", [salon.tenant]
    )

    written = rows(salon, "select l::text as row from booking.audit_log l")
    assert len(written) == 13
    for secret in secrets:
        hits = [row["row"] for row in written if secret in row["row"]]
        assert hits == [], secret


# Append-only


Change = Callable[[psycopg.Connection[Any]], object]


CHANGES = [
    "update booking.audit_log set outcome = 'success'",
    "update booking.audit_log set details = '{}'",
    "delete from booking.audit_log",
    "truncate booking.audit_log",
    "truncate booking.audit_log cascade",
    "insert into booking.audit_log select * from booking.audit_log"
    " on conflict (tenant_id, id) do update set code = 'forged'",
    "merge into booking.audit_log l using booking.audit_log o on l.id = o.id"
    " when matched then delete",
]


@pytest.fixture(scope="module")
def recorded_salon(shared_salon: Salon) -> Salon:
    """The module's, with something on record."""
    book_and_hold(shared_salon)
    return shared_salon


@pytest.fixture
def recorded(recorded_salon: Salon) -> Iterator[Salon]:
    """A salon in which after the test on record must be what was before."""
    before = audit_rows(recorded_salon)
    assert before
    yield recorded_salon
    recorded_salon.db.execute("reset role")
    assert audit_rows(recorded_salon) == before


@pytest.mark.parametrize("role", ["booking_owner", "postgres"], ids=["owner", "superuser"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_on_record_stays(recorded: Salon, role: str, change: str) -> None:
    recorded.db.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    with pytest.raises(errors.FeatureNotSupported, match="append-only"):
        recorded.db.execute(change.encode())


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from booking.audit_log",
        "insert into booking.audit_log (tenant_id, action, outcome)"
        " select gen_random_uuid(), 'forged', 'success'",
        *CHANGES,
    ],
)
def test_callers_may_neither_read_nor_write_it(recorded: Salon, role: str, statement: str) -> None:
    recorded.db.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
    with pytest.raises(errors.InsufficientPrivilege):
        recorded.db.execute(statement.encode())


def test_rows_can_go_when_they_have_been_kept_long_enough(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.settings set audit_retention_days = 30")
    total = len(audit_rows(salon))
    set_clock(salon.db, "2026-04-01 08:00+02")
    with pytest.raises(errors.FeatureNotSupported):
        salon.db.execute("delete from booking.audit_log")
    call(salon, "release_slot", slot_id=uuid4(), session_id=SESSION)
    set_clock(salon.db, "2026-04-01 08:00:00.000001+02")
    salon.db.execute("set role booking_owner")
    assert (
        salon.db.execute("delete from booking.audit_log where occurred_at <= %s", (NOW,)).rowcount
        == total
    )
    with pytest.raises(errors.FeatureNotSupported):
        salon.db.execute("delete from booking.audit_log")
    with pytest.raises(errors.FeatureNotSupported):
        salon.db.execute("truncate booking.audit_log")
    salon.db.execute("reset role")
    assert len(audit_rows(salon)) == 1


def test_and_even_then_they_cannot_be_changed(salon: Salon, booking: Booking) -> None:
    set_clock(salon.db, "2036-03-02 07:00+01")
    with pytest.raises(errors.FeatureNotSupported):
        salon.db.execute("update booking.audit_log set code = 'forged'")


# Direct writes


def test_a_direct_write_is_on_record_when_it_succeeds(salon: Salon) -> None:
    caller = staff_of(salon)
    before = len(audit_rows(salon))

    def write(statement: str, *values: object) -> None:
        with direct_connection(salon, caller):
            salon.db.execute(statement.encode(), values)

    number = uuid4()
    write(
        "insert into booking.appointments"
        " (tenant_id, id, staff_id, location_id, appointment_type_id, start_time, end_time)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        *(salon.tenant, number, salon.person, salon.location, salon.cut),
        *(TEN, TEN + timedelta(minutes=30)),
    )
    write("update booking.appointments set start_time = start_time - interval '1 minute'")
    write("update booking.appointments set notes = 'nothing happened'")
    write("update booking.appointments set status = 'pending'")
    write("update booking.appointments set status = 'cancelled'")
    write("update booking.appointments set status = 'confirmed'")
    write("delete from booking.appointments")
    written = audit_rows(salon)[before:]
    assert [row["action"] for row in written] == [
        "create_appointment",
        "reschedule_appointment",
        "change_status",
        "cancel_appointment",
        "create_appointment",
        "delete_appointment",
    ]
    assert [row["details"] for row in written] == [
        {"is_direct": True},
        {"is_direct": True},
        {"is_direct": True, "from": "confirmed", "to": "pending"},
        {"is_direct": True},
        {"is_direct": True},
        {"is_direct": True},
    ]
    for row in written:
        assert (
            row.items()
            >= {
                "tenant_id": salon.tenant,
                "occurred_at": NOW,
                "outcome": "success",
                "code": None,
                "actor_id": user_of(caller),
                "actor_role": "authenticated",
                "appointment_id": number,
                "staff_id": salon.person,
                "slot_id": None,
            }.items()
        )
        assert row["address_hash"] is not None


def test_from_a_plain_connection_it_says_which_login(salon: Salon) -> None:
    seat = salon.slot(salon.course)
    number = salon.insert("appointments", **seat)
    row = audit_rows(salon)[-1]
    assert (row["actor_id"], row["actor_role"]) == (None, "postgres")
    assert (row["appointment_id"], row["slot_id"]) == (number, seat["slot_id"])
    assert row["address_hash"] is None


def test_each_row_of_a_statement_is_on_record(salon: Salon) -> None:
    numbers = {salon.appointment(TEN + timedelta(hours=hour)) for hour in range(3)}
    before = len(audit_rows(salon))
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    written = audit_rows(salon)[before:]
    assert len(written) == 3
    assert {row["appointment_id"] for row in written} == numbers


def test_a_direct_write_that_is_refused_leaves_nothing(salon: Salon) -> None:
    salon.appointment()
    before = len(audit_rows(salon))
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment()
    with salon.db.transaction(force_rollback=True):
        salon.appointment(ELEVEN)
    assert len(audit_rows(salon)) == before


def test_a_direct_write_after_a_call_in_the_same_transaction_is_on_record(salon: Salon) -> None:
    booking = book(salon)
    before = len(audit_rows(salon))
    with salon.db.transaction():
        assert call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment).success
        assert not call(
            salon, "cancel_appointment", ADA, appointment_id=booking.appointment
        ).success
        salon.db.execute("reset role")
        salon.appointment()
    assert [(row["action"], row["details"]) for row in audit_rows(salon)[before:]] == [
        ("cancel_appointment", {}),
        ("cancel_appointment", {}),
        ("create_appointment", {"is_direct": True}),
    ]
