"""pre_request: what PostgREST runs before each request tells edges how long they keep views."""

from __future__ import annotations

import json

import pytest

from tests.api import ANON, SERVICE, Caller
from tests.booking.booked import ADA, admin_of
from tests.salon import Salon


def headers_of(salon: Salon, caller: Caller, method: str | None, schema: str = "api") -> object:
    """What pre_request leaves in response.headers for a request to a view of that schema."""
    with salon.db.transaction(force_rollback=True):
        if method in ("GET", "HEAD"):
            salon.db.execute("set transaction read only")
        settings = {
            "search_path": f"{schema}, public",
            "role": caller.role,
            "request.jwt.claims": json.dumps({"role": caller.role, **caller.claims}),
        }
        if method is not None:
            settings["request.method"] = method
        for name, value in settings.items():
            salon.db.execute("select set_config(%s, %s, true)", (name, value))
        salon.db.execute("select api.pre_request()")
        row = salon.db.execute("select current_setting('response.headers', true)").fetchone()
    assert row is not None
    return json.loads(row[0]) if row[0] else None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_edges_keep_anonymous_reads_as_long_as_the_settings_say(salon: Salon, method: str) -> None:
    for seconds in (300, 20, 0):
        salon.db.execute("update booking.settings set cache_seconds = %s", (seconds,))
        assert headers_of(salon, ANON, method) == [
            {"Cache-Control": f"public, max-age=0, s-maxage={seconds}"}
        ]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_nobody_keeps_what_somebody_signed_in_reads(salon: Salon, method: str) -> None:
    for caller in (ADA, admin_of(salon), SERVICE):
        assert headers_of(salon, caller, method) == [{"Cache-Control": "private, no-cache"}]


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT", None])
def test_it_says_nothing_of_what_is_written(salon: Salon, method: str | None) -> None:
    for caller in (ANON, ADA, SERVICE):
        assert headers_of(salon, caller, method) is None


def test_it_says_nothing_of_what_another_schema_makes_public(salon: Salon) -> None:
    assert headers_of(salon, ANON, "GET", "public") is None
