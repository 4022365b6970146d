"""Wrong session, wrong tenant, wrong token, another customer's appointment: each is refused as if
there were no such thing, changes nothing, and makes nobody wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Answer, Caller, member
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    audit_rows,
    call,
    create,
    everything,
    holds,
    rows,
)
from tests.booking.conftest import AUGUSTAS_DATA, DOROTHEA, Town, at, named

Approach = tuple[Caller, dict[str, Any]]
Way = Callable[[Town], Approach]


def assert_alike(
    town: Town, function: str, approach: Approach, foreign: dict[str, Any], missing: dict[str, Any]
) -> Answer:
    """What is another's gets the answer of what is not there, changes nothing, and leaves a record
    that differs in what was asked for only. Returns the answer."""
    caller, more = approach
    before, recorded = everything(town.salon), len(audit_rows(town.salon))
    answers = [
        call(town.salon, function, caller, **(more | arguments)) for arguments in (foreign, missing)
    ]
    assert answers[0] == answers[1]
    assert not answers[0].success
    assert everything(town.salon) == before

    records = audit_rows(town.salon)[recorded:]
    for record in records:
        for column in ("id", "occurred_at", "slot_id", "appointment_id"):
            del record[column]
        record["details"].pop("start_time", None)
    assert len(records) == 2
    assert records[0] == records[1]
    return answers[0]


# Another customer's appointment: Dorothea's, at 14:00

STRANGERS: dict[str, Way] = {
    "another customer": lambda _: (ADA, {}),
    "a wrong token": lambda _: (ANON, {"manage_token": "0" * 64}),
    "the token of another appointment": lambda town: (ANON, {"manage_token": town.adas.token}),
    "the hash of the token": lambda town: (ANON, {"manage_token": token_hash(town)}),
    "another customer with a wrong token": lambda town: (ADA, {"manage_token": town.adas.token}),
    "its token and another tenant": lambda town: (
        ANON,
        {"manage_token": town.dorotheas.token, "tenant_id": town.neighbour.tenant},
    ),
    "its customer and another tenant": lambda town: (
        DOROTHEA,
        {"tenant_id": town.neighbour.tenant},
    ),
    "the service and another tenant": lambda town: (SERVICE, {"tenant_id": town.neighbour.tenant}),
    "another tenant's admin": lambda town: (member(uuid4(), town.neighbour.tenant, "admin"), {}),
    "another tenant's admin who names this one": lambda town: (
        member(uuid4(), town.neighbour.tenant, "admin"),
        {"tenant_id": town.salon.tenant},
    ),
    "another tenant's staff with this one's id": lambda town: (
        member(uuid4(), town.neighbour.tenant, "staff", town.salon.person),
        {},
    ),
    "a member of an unknown role": lambda town: (
        member(uuid4(), town.salon.tenant, "owner"),
        {},
    ),
    "a user who calls themselves an admin": lambda town: (
        Caller(
            "authenticated",
            {
                "sub": str(uuid4()),
                "user_metadata": {"tenants": {str(town.salon.tenant): {"role": "admin"}}},
            },
        ),
        {},
    ),
}

RIGHTFUL: dict[str, Way] = {
    "its customer": lambda _: (DOROTHEA, {}),
    "its token": lambda town: (ANON, {"manage_token": town.dorotheas.token}),
    "its token and the right tenant": lambda town: (
        ANON,
        {"manage_token": town.dorotheas.token, "tenant_id": town.salon.tenant},
    ),
    "another customer with its token": lambda town: (
        ADA,
        {"manage_token": town.dorotheas.token},
    ),
    "an admin": lambda town: (member(uuid4(), town.salon.tenant, "admin"), {}),
    "whose calendar it is in": lambda town: (
        member(uuid4(), town.salon.tenant, "staff", town.salon.person),
        {},
    ),
    "the service": lambda _: (SERVICE, {}),
}

MANAGING: dict[str, Callable[[Town], dict[str, Any]]] = {
    "cancel_appointment": lambda _: {"reason": "I can"},
    "reschedule_appointment": lambda town: {"slot_id": town.slot("10:00")},
}


def token_hash(town: Town) -> str:
    """The hash of Dorothea's token, as somebody with a backup would have it."""
    (row,) = rows(
        town.salon,
        "select encode(manage_token_hash, 'hex') as hash from booking.appointments where id = %s",
        town.dorotheas.appointment,
    )
    return str(row["hash"])


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("function", MANAGING)
def test_anothers_appointment_looks_like_none(town: Town, function: str, stranger: str) -> None:
    arguments = MANAGING[function](town)
    answer = assert_alike(
        town,
        function,
        STRANGERS[stranger](town),
        arguments | {"appointment_id": town.dorotheas.appointment},
        arguments | {"appointment_id": uuid4()},
    )
    assert (answer.status, answer.body) == (
        404,
        {
            "success": False,
            "code": "not_found",
            "message": "There is no such appointment.",
            "details": None,
            "hint": None,
        },
    )


@pytest.mark.parametrize("rightful", RIGHTFUL)
@pytest.mark.parametrize("function", MANAGING)
def test_who_may_can(town: Town, function: str, rightful: str) -> None:
    caller, more = RIGHTFUL[rightful](town)
    answer = call(
        town.salon,
        function,
        caller,
        appointment_id=town.dorotheas.appointment,
        **(MANAGING[function](town) | more),
    )
    assert answer.success, answer


def test_who_is_nobody_learns_nothing_either(town: Town) -> None:
    for caller in (ANON, Caller("authenticated"), Caller("authenticated", {"sub": "dorothea"})):
        for function, arguments in MANAGING.items():
            answer = assert_alike(
                town,
                function,
                (caller, arguments(town)),
                {"appointment_id": town.dorotheas.appointment},
                {"appointment_id": uuid4()},
            )
            assert (answer.status, answer.code) == (401, "not_authenticated")


def test_an_appointment_without_customer_and_token_is_nobodys(town: Town) -> None:
    by_hand = town.salon.appointment(at("09:00"))
    for caller, token in ((ANON, ""), (ANON, "0" * 64), (ADA, None), (ADA, "")):
        for function, arguments in MANAGING.items():
            answer = assert_alike(
                town,
                function,
                (caller, arguments(town) | {"manage_token": token}),
                {"appointment_id": by_hand},
                {"appointment_id": uuid4()},
            )
            assert answer.code == "not_found"


def test_an_id_that_two_tenants_use_is_found_by_tenant_only(town: Town) -> None:
    twin = town.dorotheas.appointment
    town.neighbour.appointment(at("09:00"), id=twin)
    before = everything(town.salon)
    for arguments in ({}, {"tenant_id": uuid4()}):
        answer = call(town.salon, "cancel_appointment", SERVICE, appointment_id=twin, **arguments)
        assert answer.code == "not_found"
    assert everything(town.salon) == before
    admin = member(uuid4(), town.neighbour.tenant, "admin")
    assert call(town.salon, "cancel_appointment", admin, appointment_id=twin).success
    (hers,) = rows(
        town.salon,
        "select status from booking.appointments where tenant_id = %s and id = %s",
        *(town.salon.tenant, twin),
    )
    assert hers["status"] == "confirmed"


def test_a_payment_in_another_tenants_name_finds_nothing(town: Town) -> None:
    answer = assert_alike(
        town,
        "record_payment",
        (SERVICE, {"payment_status": "paid", "payment_reference": "pi_1"}),
        {"appointment_id": town.dorotheas.appointment, "tenant_id": town.neighbour.tenant},
        {"appointment_id": uuid4(), "tenant_id": town.neighbour.tenant},
    )
    assert answer.code == "not_found"


def test_a_token_opens_its_own_appointment_only(town: Town) -> None:
    before = everything(town.salon)
    for appointment, token in (
        (town.dorotheas.appointment, town.balthasars.token),
        (town.balthasars.appointment, town.dorotheas.token),
    ):
        answer = call(
            town.salon, "cancel_appointment", appointment_id=appointment, manage_token=token
        )
        assert answer.code == "not_found"
    assert everything(town.salon) == before


# Another session's hold: Dorothea's, of 11:00

WRONG_SESSIONS: dict[str, Way] = {
    "another session": lambda _: (ANON, {"session_id": SESSION}),
    "another session of another customer": lambda _: (ADA, {"session_id": SESSION}),
    "its customer in another session": lambda _: (DOROTHEA, {"session_id": SESSION}),
    "a session that is spelled otherwise": lambda _: (
        ANON,
        {"session_id": OTHER_SESSION.upper()},
    ),
    "the hash of the session": lambda town: (ANON, {"session_id": session_hash(town)}),
    "its session and another tenant": lambda town: (
        ANON,
        {"session_id": OTHER_SESSION, "tenant_id": town.neighbour.tenant},
    ),
}


def session_hash(town: Town) -> str:
    """The hash of Dorothea's session, as somebody with a backup would have it."""
    (hash_,) = {
        str(hold["session_hash"].hex())
        for hold in holds(town.salon)
        if hold["slot_id"] == town.slot("11:00")
    }
    return hash_


@pytest.mark.parametrize("stranger", WRONG_SESSIONS)
def test_anothers_hold_cannot_be_released(town: Town, stranger: str) -> None:
    answer = assert_alike(
        town,
        "release_slot",
        WRONG_SESSIONS[stranger](town),
        {"slot_id": town.slot("11:00")},
        {"slot_id": town.slot("10:00")},
    )
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("stranger", "caller"),
    [
        *((stranger, "the service") for stranger in WRONG_SESSIONS),
        *((stranger, "a customer") for stranger in WRONG_SESSIONS),
        ("no session", "a customer"),
    ],
)
def test_anothers_hold_cannot_be_booked(town: Town, stranger: str, caller: str) -> None:
    more = WRONG_SESSIONS[stranger](town)[1] if stranger in WRONG_SESSIONS else {}
    answer = assert_alike(
        town,
        "create_appointment",
        (
            SERVICE if caller == "the service" else ADA,
            {"user_data": AUGUSTAS_DATA, "appointment_type": "cut"} | more,
        ),
        {"slot_id": town.slot("11:00")},
        {"slot_id": town.slot("10:00")},
    )
    assert (answer.status, answer.code) == (409, "reservation_expired")


def test_whose_hold_it_is_can_book_and_release_it(town: Town) -> None:
    slot = town.slot("11:00")
    for caller, session_id in (
        (DOROTHEA, OTHER_SESSION),
        (DOROTHEA, None),
        (ADA, OTHER_SESSION),
        (SERVICE, OTHER_SESSION),
    ):
        with town.salon.db.transaction(force_rollback=True):
            assert create(town.salon, slot, caller, session_id=session_id).success
    released = call(town.salon, "release_slot", slot_id=slot, session_id=OTHER_SESSION)
    assert released.success


def test_what_another_holds_or_has_booked_is_taken_like_any_slot_that_does_not_exist(
    town: Town,
) -> None:
    no_slot = {"slot_id": named(town.salon, town.salon.cut, at("10:07"))["slot_id"]}
    for slot in (town.slot("11:00"), town.slot("11:15"), town.dorotheas.slot):
        answers = [
            call(town.salon, "reserve_slot", session_id="s" * 16, **asked)
            for asked in ({"slot_id": slot}, no_slot)
        ]
        assert answers[0] == answers[1]
        assert answers[0].code == "slot_taken"


def test_in_another_tenants_name_nothing_is_reserved(town: Town) -> None:
    for caller in (ANON, ADA, SERVICE, member(uuid4(), town.neighbour.tenant, "admin")):
        answer = assert_alike(
            town,
            "reserve_slot",
            (caller, {"session_id": "s" * 16, "tenant_id": town.neighbour.tenant}),
            {"slot_id": town.slot("10:00")},
            {"slot_id": named(town.salon, town.salon.cut, at("10:07"))["slot_id"]},
        )
        assert answer.code == "slot_taken"


def test_a_session_is_not_told_what_another_holds(town: Town) -> None:
    unknown = call(town.salon, "get_reservations", session_id="s" * 16)
    assert unknown.body == {"success": True, "reservations": []}
    for session_id in (OTHER_SESSION.upper(), session_hash(town), "%" * 25, "_" * 25):
        for caller in (ANON, DOROTHEA, SERVICE):
            answer = call(town.salon, "get_reservations", caller, session_id=session_id)
            assert answer == unknown
    told = call(town.salon, "get_reservations", session_id=OTHER_SESSION).body["reservations"]
    assert len(told) == 2


def test_nobody_moves_into_what_another_holds(town: Town) -> None:
    for more in ({}, {"session_id": SESSION}, {"session_id": OTHER_SESSION.upper()}):
        answer = assert_alike(
            town,
            "reschedule_appointment",
            (ADA, more | {"appointment_id": town.adas.appointment}),
            {"slot_id": town.slot("11:00")},
            {"slot_id": town.dorotheas.slot},
        )
        assert answer.code == "slot_taken"


# Another customer's idempotency key


def test_anothers_key_opens_nothing(town: Town) -> None:
    slot = town.slot("11:00")
    hers = create(town.salon, slot, DOROTHEA, session_id=OTHER_SESSION, idempotency_key="her-key")
    assert hers.success
    for caller in (ADA, SERVICE):
        answer = assert_alike(
            town,
            "create_appointment",
            (
                caller,
                {
                    "slot_id": slot,
                    "session_id": OTHER_SESSION,
                    "user_data": {"name": "Ada Lovelace", "email": "ada@example.org"},
                    "appointment_type": "cut",
                },
            ),
            {"idempotency_key": "her-key"},
            {"idempotency_key": "a-new-key"},
        )
        assert answer.code == "reservation_expired"
    again = create(town.salon, slot, DOROTHEA, session_id=OTHER_SESSION, idempotency_key="her-key")
    assert again.body["appointment_id"] == hers.body["appointment_id"]


# Nobody waits for a stranger, and a stranger for nobody


def test_strangers_are_refused_without_waiting_for_any_lock(town: Town) -> None:
    dorotheas, slot = town.dorotheas.appointment, town.slot("11:00")
    free = town.slot("10:00")
    approaches = [way(town) for way in STRANGERS.values()]
    sessions = [way(town) for way in WRONG_SESSIONS.values()]
    town.lock(
        "do $$ begin"
        " perform from booking.appointments for update;"
        " update booking.calendars set revision = revision + 1;"
        " end $$"
    )
    for caller, more in approaches:
        for function, arguments in (
            ("cancel_appointment", {}),
            ("reschedule_appointment", {"slot_id": free}),
        ):
            answer = call(
                town.salon, function, caller, appointment_id=dorotheas, **(arguments | more)
            )
            assert answer.code == "not_found"
    for caller, more in sessions:
        assert call(town.salon, "release_slot", caller, slot_id=slot, **more).code == "not_found"
    for session_id in (SESSION, None):
        assert create(town.salon, slot, ADA, session_id=session_id).code == "reservation_expired"
    taken = call(town.salon, "reserve_slot", slot_id=slot, session_id="s" * 16)
    assert taken.code == "slot_taken"
    assert call(
        town.salon, "cancel_appointment", DOROTHEA, appointment_id=dorotheas
    ).code == "busy", "who may, waits"  # fmt: skip


# What only some roles may call at all


@pytest.mark.parametrize(
    ("function", "caller"),
    [
        ("create_appointment", ANON),
        ("record_payment", ANON),
        ("record_payment", ADA),
        ("record_payment", DOROTHEA),
    ],
)
def test_who_may_not_call_a_function_is_refused_by_the_database(
    town: Town, function: str, caller: Caller
) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "create_appointment": {
            "slot_id": town.slot("11:00"),
            "session_id": OTHER_SESSION,
            "user_data": AUGUSTAS_DATA,
            "appointment_type": "cut",
        },
        "record_payment": {
            "appointment_id": town.dorotheas.appointment,
            "payment_status": "paid",
            "payment_reference": "pi_1",
        },
    }
    before = everything(town.salon)
    with pytest.raises(errors.InsufficientPrivilege):
        call(town.salon, function, caller, **arguments[function])
    assert everything(town.salon) == before


def test_the_workers_cannot_be_called_past_their_frame(town: Town) -> None:
    # create_appointment is granted to whoever is signed in, its frame to everybody.
    for statement in (
        "select booking.cancel_appointment(null, '{}')",
        "select booking.release_slot(null, null, '{}')",
        "select booking.lock_calendars(null, null)",
        "select booking.find_appointment('{}')",
        "update booking.calendars set revision = 0",
        "delete from booking.slot_reservations",
        "select manage_token_hash from booking.appointments",
        "select session_hash from booking.slot_reservations",
        "select reserved_by_session from booking.availability_slots",
        "select from booking.audit_log",
    ):
        for role in ("anon", "authenticated", "service_role"):
            with pytest.raises(errors.InsufficientPrivilege), town.salon.db.transaction():
                town.execute(f"set local role {role}")
                town.execute(statement)


def test_the_frame_asks_who_is_calling_for_whoever_reaches_it(town: Town) -> None:
    before = everything(town.salon)
    slot = town.slot("11:00")
    for statement, code in (
        (
            "select booking.attempt('record_payment', jsonb_build_object("
            " 'appointment_id', %s::uuid, 'payment_status', 'paid', 'payment_reference', 'pi_1'))",
            "forbidden",
        ),
        (
            "select booking.attempt('create_appointment', jsonb_build_object('slot_id', %s::uuid,"
            " 'session_id', 'session-of-bob-0123456789', 'appointment_type', 'cut',"
            ' \'user_data\', \'{"name": "A", "email": "a@b"}\'::jsonb))',
            "not_authenticated",
        ),
    ):
        with town.salon.db.transaction():
            town.execute("set local role anon")
            town.execute("select set_config('request.jwt.claims', '{\"role\": \"anon\"}', true)")
            value = town.dorotheas.appointment if "payment" in statement else slot
            (row,) = rows(town.salon, statement, value)
        assert row["attempt"]["code"] == code
    assert everything(town.salon) == before
