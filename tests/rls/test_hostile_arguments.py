"""Whatever is sent to a function of schema api, its caller gets an answer with a sentence, or an
error that PostgREST tells as 4xx: never a fault of ours, never a wait."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from uuid import UUID

import pytest

from tests.api import SERVICE, Caller
from tests.rls.hostile import (
    HEAVY,
    ODD,
    SECONDS,
    Function,
    JsonApi,
    Raw,
    callers_of,
    fault,
    functions_of_api,
    good_arguments,
    kind_of,
    random_request,
)
from tests.salon import Salon

CALLS = int(os.environ.get("PGBOOKING_HOSTILE_CALLS", "2000"))
KINDS = ("success", "refusal", "error")


@pytest.fixture
def good(salon: Salon) -> dict[str, dict[str, str]]:
    """Function → arguments that work, as JSON texts."""
    return good_arguments(salon, "salon")


@pytest.fixture
def callers(salon: Salon) -> dict[str, list[Caller]]:
    """Role → who comes with it, with tokens good and bad."""
    return callers_of(salon)


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
