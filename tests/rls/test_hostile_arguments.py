"""Whatever is sent to a function of schema api, its caller gets an answer with a sentence, or an
error that PostgREST tells as 4xx: never a fault of ours, never a wait."""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api import ANON, SERVICE, Caller, customer, member
from tests.rls.hostile import (
    HEAVY,
    ODD,
    Function,
    JsonApi,
    Outcome,
    Raw,
    functions_of_api,
    random_request,
)
from tests.salon import TEN, Salon

CALLS = int(os.environ.get("PGBOOKING_HOSTILE_CALLS", "2000"))
SECONDS = 3.0

SESSION = "session-of-ada-0123456789"
TOKEN = "0123456789abcdef" * 4
USER = uuid4()
HOUR = timedelta(hours=1)

# The errors that PostgREST tells as 4xx: bad values (400), reading only (405), no right (401, 403).
CLIENT_ERRORS = ("22", "25006", "42501")

# Limits of the JSON parser, which it meets before any function of ours is reached; PostgREST tells
# them as 500. This is the whole list.
PARSER_LIMITS = {
    "54000": "an array of more than six dimensions",
    "54001": "nested deeper than the server's stack",
}

KINDS = ("success", "refusal", "error")

REFUSALS = {
    "slot_taken": 409,
    "reservation_expired": 409,
    "appointment_conflict": 409,
    "idempotency_conflict": 409,
    "hold_limit_reached": 409,
    "customer_limit_reached": 409,
    "too_late": 409,
    "invalid_status": 409,
    "slot_not_found": 404,
    "not_found": 404,
    "invalid_request": 400,
    "range_too_large": 400,
    "not_authenticated": 401,
    "forbidden": 403,
}


@pytest.fixture
def good(salon: Salon) -> dict[str, dict[str, str]]:
    """Function → arguments that work, as JSON texts. "" is what all have in common."""
    salon.db.execute("insert into booking.tenant_slugs values ('salon', %s)", (salon.tenant,))
    colleague = salon.add_person()
    salon.hold(
        salon.cut,
        session_hash=sha256(SESSION.encode()).digest(),
        customer_id=USER,
        quoted_price_cents=100,
        currency="EUR",
    )
    held, free = salon.slot(salon.cut), salon.slot(salon.cut, TEN + 3 * HOUR)
    appointment = salon.appointment(
        TEN + HOUR,
        customer_id=USER,
        status="pending",
        payment_status="pending",
        price_cents=100,
        manage_token_hash=sha256(TOKEN.encode()).digest(),
    )
    common: dict[str, Any] = {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "location_id": salon.location,
        "appointment_type": "cut",
        "session_id": SESSION,
        "slot_id": free["slot_id"],
        "start_time": free["start_time"].isoformat(),
        "appointment_id": appointment,
        "start_date": "2026-03-03",
        "end_date": "2026-03-04",
        "duration_minutes": 30,
        "max_results": 20,
        "slug": "salon",
        "at": TEN.isoformat(),
        "from_time": TEN.isoformat(),
        "payment_status": "paid",
        "payment_reference": "pi_1",
        "user_data": {"name": "Ada", "email": "ada@example.org"},
        "hours": [
            {
                "location_id": str(salon.location),
                "weekday": 1,
                "start_time": "09:00",
                "end_time": "17:00",
            }
        ],
        "valid_from": "2026-04-01",
        "copy_to_staff_ids": [str(colleague)],
        "idempotency_key": "a key",
        "notes": "a note",
        "reason": "a reason",
        "manage_token": TOKEN,
    }
    held_slot = {"slot_id": held["slot_id"], "start_time": held["start_time"].isoformat()}
    return {
        name: {key: json.dumps(value, default=str) for key, value in (common | more).items()}
        for name, more in {
            "": {},
            "create_appointment": held_slot,
            "release_slot": held_slot,
        }.items()
    }


@pytest.fixture
def callers(salon: Salon) -> dict[str, list[Caller]]:
    """Role → who comes with it, with tokens good and bad."""
    return {
        "anon": [ANON],
        "authenticated": [
            customer(USER),
            customer(uuid4()),
            member(uuid4(), salon.tenant, "admin"),
            member(uuid4(), salon.tenant, "staff", salon.person),
            member(uuid4(), uuid4(), "admin"),
            Caller("authenticated"),
            Caller("authenticated", {"sub": "nobody", "app_metadata": {"tenants": [1, None]}}),
        ],
        "service_role": [SERVICE],
    }


def kind_of(outcome: Outcome) -> str:
    """success, refusal or error."""
    if outcome.answer is None:
        return "error"
    body = outcome.answer.body
    return "success" if isinstance(body, dict) and body.get("success") else "refusal"


def fault(function: Function, request: Raw, outcome: Outcome) -> str | None:
    """What is wrong with that outcome, or None."""
    if outcome.seconds > SECONDS:
        return f"took {outcome.seconds:.1f} s"
    if outcome.error is not None:
        state = outcome.error.sqlstate or ""
        context = outcome.error.diag.context or ""
        if state in PARSER_LIMITS and "PL/pgSQL" not in context:
            return None
        if not state.startswith(CLIENT_ERRORS):
            return f"{state} {outcome.error}"
        if "PL/pgSQL function booking." in context and state != "25006":
            return f"{state} from inside: {outcome.error}\n{outcome.error.diag.context}"
        return None
    assert outcome.answer is not None
    status, body = outcome.answer.status, outcome.answer.body
    if not isinstance(body, dict):
        return f"answered {body!r}"
    if body.get("success") is True:
        return None if status == 200 else f"success with status {status}"
    return bad_refusal(function, status, body)


def bad_refusal(function: Function, status: int, body: dict[str, Any]) -> str | None:
    """What is wrong with the envelope of a refusal, or None."""
    if set(body) != {"success", "code", "message", "details", "hint"}:
        return f"envelope {body}"
    if REFUSALS.get(body["code"]) != status:
        return f"status {status} for {body['code']}"
    message = body["message"]
    if not message.endswith(".") or not message[0].isprintable() or len(message) > 500:
        return f"no sentence: {message[:600]!r}"
    if body["code"] in ("invalid_request", "range_too_large") and not any(
        name in message for name in function.arguments
    ):
        return f"names no field: {message}"
    return None


def one_at_a_time(
    functions: list[Function], good: dict[str, dict[str, str]]
) -> Iterator[tuple[Function, Caller, str, Raw]]:
    """Each odd value in each argument, beside others that work."""
    for function in functions:
        arguments = good.get(function.name, good[""])
        request = {name: arguments.get(name, "null") for name in function.arguments}
        for name in function.arguments:
            for odd in ODD:
                yield function, SERVICE, "POST", request | {name: odd}


def at_random(
    random_: random.Random,
    functions: list[Function],
    good: dict[str, dict[str, str]],
    callers: dict[str, list[Caller]],
    location: UUID,
) -> Iterator[tuple[Function, Caller, str, Raw]]:
    """Each function as each role that may call it, in turn, with several odd values."""
    ways = [(function, role) for function in functions for role in function.roles]
    for number in range(CALLS):
        function, role = ways[number % len(ways)]
        request = random_request(random_, function, good.get(function.name, good[""]), location)
        method = "GET" if random_.random() < 0.1 else "POST"
        yield function, random_.choice(callers[role]), method, request


def test_no_argument_is_answered_by_a_fault_of_ours(
    salon: Salon, good: dict[str, dict[str, str]], callers: dict[str, list[Caller]]
) -> None:
    seed = int(os.environ.get("PGBOOKING_SEED", random.randrange(2**32)))
    print(f"PGBOOKING_SEED={seed} PGBOOKING_HOSTILE_CALLS={CALLS}")
    functions = functions_of_api(salon.db)
    counts: Counter[tuple[str, str]] = Counter()
    faults: dict[str, str] = {}
    slowest = 0.0

    api = JsonApi(salon.db)
    for function, caller, method, request in chain(
        one_at_a_time(functions, good),
        at_random(random.Random(seed), functions, good, callers, salon.location),
    ):
        outcome = api.send(function, caller, request, method=method)
        slowest = max(slowest, outcome.seconds)
        counts[function.name, kind_of(outcome)] += 1
        if found := fault(function, request, outcome):
            shortened = {name: text[:200] for name, text in request.items()}
            faults.setdefault(
                f"{function.name}: {re.sub('[0-9a-f-]{36}', '', found.splitlines()[0])[:60]}",
                f"{found[:1500]}\n{method} {function.name} as {caller}\n{shortened}",
            )

    print(f"{counts.total()} calls, the slowest {slowest:.2f} s")
    for function in functions:
        print(function.name, {kind: counts[function.name, kind] for kind in KINDS})
    assert not faults, "\n\n".join(faults.values())
    assert counts.total() >= 5000
    assert [
        (function.name, kind)
        for function in functions
        for kind in KINDS
        if not counts[function.name, kind]
    ] == []


def test_what_is_huge_is_refused_in_time(salon: Salon, good: dict[str, dict[str, str]]) -> None:
    api = JsonApi(salon.db)
    faults = []
    for function in functions_of_api(salon.db):
        arguments = good.get(function.name, good[""])
        for name, type_ in function.arguments.items():
            # Other types have no room for it: one of them shows that.
            for huge in HEAVY if type_ in ("text", "jsonb", "uuid[]") else HEAVY[:1]:
                request = {each: arguments.get(each, "null") for each in function.arguments}
                outcome = api.send(function, SERVICE, request | {name: huge})
                if found := fault(function, request, outcome):
                    faults.append(f"{function.name} {name} {huge[:20]}: {found[:500]}")
    assert faults == []


def test_limits_of_the_json_parser_are_met_before_any_function(
    salon: Salon, good: dict[str, dict[str, str]]
) -> None:
    api = JsonApi(salon.db)
    functions = functions_of_api(salon.db)
    too_deep = "[" * 200_000 + "]" * 200_000
    sent = [(each, dict.fromkeys(each.required, too_deep), "54001") for each in functions]
    (weeks,) = (each for each in functions if each.name == "set_working_hours")
    sent.append((weeks, good[""] | {"copy_to_staff_ids": "[[[[[[[]]]]]]]"}, "54000"))
    for function, request, state in sent:
        arguments = {name: text for name, text in request.items() if name in function.arguments}
        outcome = api.send(function, SERVICE, arguments)
        assert outcome.error is not None
        assert outcome.error.sqlstate == state
        assert "PL/pgSQL" not in (outcome.error.diag.context or "")
        assert outcome.seconds < SECONDS
