"""How long edges and browsers keep an answer, and how they are told that it is still the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.api.asking import DAY, ask
from tests.booking.booked import ADA, admin_of, reserve, slot_at
from tests.salon import Salon, set_clock

FUNCTIONS = ("get_tenant", "get_available_slots", "get_available_times", "get_next_available")


@pytest.fixture(autouse=True)
def slug(salon: Salon) -> None:
    salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('mitte', %s)", (salon.tenant,)
    )


def get(
    salon: Salon, function: str, caller: Caller = ANON, method: str = "GET", etag: str | None = None
) -> Answer:
    """Ask that function, perhaps naming what one has already."""
    requests: dict[str, dict[str, Any]] = {
        "get_tenant": {"slug": "mitte"},
        "get_available_slots": {"tenant_id": salon.tenant, "start_date": DAY, "end_date": DAY},
        "get_available_times": {
            "tenant_id": salon.tenant,
            "start_date": DAY,
            "end_date": DAY,
            "appointment_type": "cut",
        },
        "get_next_available": {"tenant_id": salon.tenant},
    }
    headers = {"If-None-Match": etag} if etag is not None else {}
    return ask(salon, function, caller, method=method, headers=headers, **requests[function])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_edges_keep_what_is_everybodys_for_as_long_as_the_tenant_says(
    salon: Salon, function: str, method: str
) -> None:
    headers = get(salon, function, method=method).headers
    assert headers.keys() == {"Cache-Control", "ETag"}
    assert headers["Cache-Control"] == "public, max-age=0, s-maxage=300"
    salon.db.execute("update booking.tenants set cache_seconds = 7")
    headers = get(salon, function, method=method).headers
    assert headers["Cache-Control"] == "public, max-age=0, s-maxage=7"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_keeps_what_somebody_signed_in_reads(salon: Salon, function: str) -> None:
    for caller in (ADA, admin_of(salon), SERVICE):
        assert get(salon, function, caller).headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_comes_by_post_is_not_for_keeping(salon: Salon, function: str) -> None:
    assert get(salon, function, method="POST", etag='"*"').headers == {}


@pytest.mark.parametrize("caller", [ANON, ADA], ids=lambda caller: caller.role)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_who_has_it_already_gets_no_body(salon: Salon, function: str, caller: Caller) -> None:
    first = get(salon, function, caller)
    etag = first.headers["ETag"]
    assert etag.startswith('"') and etag.endswith('"') and len(etag) == 34
    for named in (etag, f"W/{etag}", f'"other", {etag}'):
        for method in ("GET", "HEAD"):
            again = get(salon, function, caller, method, named)
            assert (again.status, again.headers) == (304, first.headers)
            assert not again.body
    for other in ('"other"', etag.strip('"')[:-1], ""):
        assert get(salon, function, caller, etag=other) == first


@pytest.mark.parametrize("function", FUNCTIONS[1:])
def test_who_has_something_older_gets_what_is_new(salon: Salon, function: str) -> None:
    free = get(salon, function)
    first_slot = slot_at(salon)
    if function == "get_next_available":
        set_clock(salon.db, "2026-03-03 09:55+01")
        free = get(salon, function)
    reserve(salon, first_slot)
    taken = get(salon, function, etag=free.headers["ETag"])
    assert taken.status == 200
    assert taken.body != free.body
    assert taken.headers["ETag"] != free.headers["ETag"]


def test_equal_bodies_have_equal_etags_and_others_have_others(salon: Salon) -> None:
    etags = [get(salon, function).headers["ETag"] for function in FUNCTIONS for _ in range(2)]
    assert etags[0::2] == etags[1::2]
    assert len(set(etags)) == len(FUNCTIONS)


@pytest.mark.parametrize("caller", [ANON, ADA], ids=lambda caller: caller.role)
def test_a_refusal_is_kept_by_nobody(salon: Salon, caller: Caller) -> None:
    refused = [
        ask(salon, "get_tenant", caller, slug="nobody"),
        ask(salon, "get_next_available", caller, tenant_id=salon.tenant, max_results=0),
        ask(
            salon,
            "get_available_slots",
            caller,
            tenant_id=salon.tenant,
            start_date="2026-01-01",
            end_date="2026-12-31",
        ),
    ]
    for answer in refused:
        assert not answer.success
        assert answer.headers == {"Cache-Control": "no-store"}


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout"])
def test_a_list_that_takes_too_long_is_busy_and_counted(
    salon: Salon, connect: Callable[[], psycopg.Connection], setting: str
) -> None:
    visitor = connect()
    set_clock(visitor)
    # The function has a lock_timeout of its own, of two seconds.
    visitor.execute(f"set {setting} = '200ms'".encode())
    with salon.db.transaction():
        salon.db.execute("lock table booking.availability_slots")
        answer = Api(visitor).call(
            "get_available_slots", tenant_id=salon.tenant, start_date=DAY, end_date=DAY
        )
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")
    assert salon.db.execute("select count(*) from booking.rate_limits").fetchone() == (1,)
