"""The guard against tests that skip themselves although this machine can run them."""

from __future__ import annotations

import pytest

from tests import conftest
from tests.left_out import NO_EXTENSION, NO_POSTGREST


def outcome_of_skip(reason: str) -> str:
    """What becomes of a test that skips itself for this reason."""
    report = pytest.TestReport(
        "tests/test_x.py::test_x",
        ("tests/test_x.py", 1, "test_x"),
        {},
        "skipped",
        ("tests/test_x.py", 1, f"Skipped: {reason}"),
        "call",
    )
    conftest.refuse_skip(report)
    return report.outcome


@pytest.mark.parametrize(
    ("no_skips", "server", "reason", "outcome"),
    [
        ("", "15", "no time", "skipped"),
        ("1", "15", "no time", "failed"),
        ("1", "embedded", "no time", "failed"),
        ("1", "15", NO_POSTGREST, "skipped"),
        ("1", "15", f"{NO_EXTENSION} pg_cron", "failed"),
        ("1", "17", f"{NO_EXTENSION} pg_cron", "failed"),
        ("1", "embedded", f"{NO_EXTENSION} pg_cron", "skipped"),
    ],
)
def test_a_skip_that_may_not_be_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, no_skips: str, server: str, reason: str, outcome: str
) -> None:
    monkeypatch.setenv("PGBOOKING_NO_SKIPS", no_skips)
    monkeypatch.setenv("PGBOOKING_TEST_SERVER", server)
    assert outcome_of_skip(reason) == outcome
