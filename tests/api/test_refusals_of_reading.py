"""Every refusal of the functions that only read, produced on purpose: its JSON, status and headers;
and that the list below is complete, message by message, against what sql/ can say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.api import Answer
from tests.api.asking import ask
from tests.booking.booked import admin_of, audit_rows
from tests.booking.refusals_in_sql import functions, possible_refusals
from tests.salon import Salon

# It takes forty people: tests/concurrency/test_hybrid.py.
SHOWN_ELSEWHERE = {
    (
        "get_available_times",
        "range_too_large",
        "start_date to end_date is too much for one answer: it would go until 2026-04-01T22:00Z.",
    )
}

STATUS = {"invalid_request": 400, "range_too_large": 400, "not_found": 404}
Arguments = Callable[[Salon], dict[str, Any]]

GOOD: dict[str, Arguments] = {
    "get_tenant": lambda _: {"slug": "mitte"},
    "get_available_slots": lambda salon: {
        "tenant_id": salon.tenant,
        "start_date": "2026-03-03",
        "end_date": "2026-03-03",
    },
    "get_available_times": lambda salon: {
        "tenant_id": salon.tenant,
        "start_date": "2026-03-03",
        "end_date": "2026-03-03",
        "appointment_type": "cut",
    },
    "get_next_available": lambda salon: {"tenant_id": salon.tenant},
    "get_reservations": lambda _: {"session_id": "s" * 16},
    "explain_availability": lambda salon: {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "at": "2026-03-03 10:00+01",
    },
}


@dataclass(frozen=True)
class Case:
    """A good request with one argument changed, and what is said to it."""

    function: str
    code: str
    argument: str
    value: object
    message: str
    hint: str | None = None


def both(code: str, argument: str, value: object, message: str) -> list[Case]:
    """The same case of both functions that list slots."""
    return [
        Case(function, code, argument, value, message)
        for function in ("get_available_slots", "get_next_available")
    ]


UNKNOWN = UUID("00000000-0000-4000-8000-00000000dead")
BAD = "invalid_request"
NO_SERVICE = 'appointment_type is "massage"; expected the code of one of this tenant\'s services.'
YEARS = "expected a date from 1900-01-01 to 9999-12-31."

CASES = [
    Case("get_tenant", BAD, "slug", None, "slug is missing; expected 1 to 63 characters."),
    Case("get_tenant", BAD, "slug", "", 'slug is ""; expected 1 to 63 characters.'),
    Case(
        "get_tenant", BAD, "slug", "x" * 64, f'slug is "{"x" * 64}"; expected 1 to 63 characters.'
    ),
    Case(
        "get_tenant",
        BAD,
        "slug",
        "x" * 101,
        "slug is 101 characters long; expected 1 to 63 characters.",
    ),
    Case("get_tenant", "not_found", "slug", "nobody", "There is no such tenant."),
    *both(BAD, "tenant_id", None, "tenant_id is missing; expected the id of a tenant."),
    *both("not_found", "tenant_id", UNKNOWN, "There is no such tenant."),
    *both("not_found", "staff_id", UNKNOWN, "There is no such person (staff_id)."),
    *both("not_found", "location_id", UNKNOWN, "There is no such place (location_id)."),
    *both(BAD, "appointment_type", "massage", NO_SERVICE),
    *both(BAD, "appointment_type", "", 'appointment_type is ""; expected 1 to 100 characters.'),
    *both(
        BAD,
        "appointment_type",
        "x" * 101,
        "appointment_type is 101 characters long; expected 1 to 100 characters.",
    ),
    *both(BAD, "duration_minutes", 0, "duration_minutes is 0; expected a number from 1 to 1440."),
    *both(
        BAD,
        "duration_minutes",
        2**31 - 1,
        "duration_minutes is 2147483647; expected a number from 1 to 1440.",
    ),
    *[
        Case(
            "get_available_slots",
            BAD,
            "max_results",
            count,
            f"max_results is {count}; expected a number from 1 to 1000.",
        )
        for count in (-(2**31), 0, 1001)
    ],
    *[
        Case("get_available_slots", BAD, name, None, f"{name} is missing; expected a date.")
        for name in ("start_date", "end_date")
    ],
    Case(
        "get_available_slots", BAD, "start_date", "-infinity", f"start_date is -infinity; {YEARS}"
    ),
    Case("get_available_slots", BAD, "end_date", "infinity", f"end_date is infinity; {YEARS}"),
    Case(
        "get_available_slots",
        BAD,
        "end_date",
        "2026-03-02",
        "end_date is 2026-03-02; expected no date before start_date, 2026-03-03.",
    ),
    Case(
        "get_available_slots",
        "range_too_large",
        "end_date",
        "9999-12-31",
        "start_date and end_date name 2912382 days; expected at most 62.",
        "Ask for fewer days at a time.",
    ),
    Case(
        "get_available_slots",
        BAD,
        "page_token",
        "garbage",
        'page_token is "garbage"; expected the next_page_token of an answer.',
    ),
    *[
        Case("get_available_times", code, argument, value, message)
        for code, argument, value, message in (
            (BAD, "tenant_id", None, "tenant_id is missing; expected the id of a tenant."),
            ("not_found", "tenant_id", UNKNOWN, "There is no such tenant."),
            ("not_found", "location_id", UNKNOWN, "There is no such place (location_id)."),
            (BAD, "start_date", None, "start_date is missing; expected a date."),
            (BAD, "end_date", "infinity", f"end_date is infinity; {YEARS}"),
            (
                BAD,
                "end_date",
                "2026-03-02",
                "end_date is 2026-03-02; expected no date before start_date, 2026-03-03.",
            ),
            (
                BAD,
                "appointment_type",
                None,
                "appointment_type is missing; expected 1 to 100 characters.",
            ),
            (BAD, "appointment_type", "massage", NO_SERVICE),
        )
    ],
    Case(
        "get_available_times",
        "range_too_large",
        "end_date",
        "2026-05-04",
        "start_date and end_date name 63 days; expected at most 62.",
        "Ask for fewer days at a time.",
    ),
    Case(
        "get_next_available",
        BAD,
        "max_results",
        101,
        "max_results is 101; expected a number from 1 to 100.",
    ),
    Case(
        "get_next_available",
        BAD,
        "from_time",
        "infinity",
        "from_time is infinity; expected a time in the years 1900 to 9999.",
    ),
    Case(
        "get_reservations",
        BAD,
        "session_id",
        None,
        "session_id is missing; expected 16 to 128 characters.",
    ),
    Case(
        "explain_availability",
        BAD,
        "tenant_id",
        None,
        "tenant_id is missing; expected the id of a tenant.",
    ),
    Case(
        "explain_availability",
        BAD,
        "staff_id",
        None,
        "staff_id is missing; expected the id of a person.",
    ),
    Case("explain_availability", BAD, "at", None, "at is missing; expected a time."),
    Case(
        "explain_availability",
        BAD,
        "at",
        "-infinity",
        "at is -infinity; expected a time in the years 1900 to 9999.",
    ),
    Case("explain_availability", "not_found", "staff_id", UNKNOWN, "There is no such person."),
    Case("explain_availability", BAD, "appointment_type", "massage", NO_SERVICE),
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.function} {case.argument} {str(case.value)[:20]}"
)
def test_it_is_an_answer_that_nobody_keeps_and_leaves_no_record(
    shared_salon: Salon, case: Case
) -> None:
    arguments = GOOD[case.function](shared_salon) | {case.argument: case.value}
    caller = admin_of(shared_salon)
    body = {
        "success": False,
        "code": case.code,
        "message": case.message,
        "details": None,
        "hint": case.hint,
    }
    recorded = audit_rows(shared_salon)
    methods = {"POST": {}, "GET": {"Cache-Control": "no-store"}}
    if case.function == "get_reservations":
        del methods["GET"]
    for method, headers in methods.items():
        answer = ask(shared_salon, case.function, caller, method=method, **arguments)
        assert answer == Answer(STATUS[case.code], body, headers)
    assert audit_rows(shared_salon) == recorded


@pytest.mark.parametrize("function", GOOD)
def test_nothing_else_is_wrong_with_the_request(shared_salon: Salon, function: str) -> None:
    shared_salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('mitte', %s)"
        " on conflict do nothing",
        (shared_salon.tenant,),
    )
    arguments = GOOD[function](shared_salon)
    answer = ask(shared_salon, function, admin_of(shared_salon), method="POST", **arguments)
    assert answer.success


def test_every_refusal_that_a_function_can_give_is_in_the_list() -> None:
    answer = functions()["answer"]
    workers = re.findall(r"when '(\w+)' then\s+v_(?:answer|body) := booking\.\1\(", answer)
    assert len(workers) == len(re.findall(r"v_(?:answer|body) := booking\.(?!refusal\()", answer))
    assert set(workers) == {case.function for case in CASES} == GOOD.keys()
    possible = {
        (worker, code, pattern) for worker in workers for code, pattern in possible_refusals(worker)
    }
    assert len(possible) > len(workers)
    shown = {(case.function, case.code, case.message) for case in CASES} | SHOWN_ELSEWHERE
    missing = [
        (worker, code, pattern)
        for worker, code, pattern in sorted(possible)
        if not any((worker, code) == case[:2] and re.fullmatch(pattern, case[2]) for case in shown)
    ]
    assert missing == []
