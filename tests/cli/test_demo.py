"""pgbooking demo: from an empty database to verified slots, and what it shows on the way."""

from __future__ import annotations

import psycopg
import pytest

from tests.cli.conftest import Run
from tests.postgres import Server


@pytest.fixture
def demo(run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a first demonstration prints, in a database where pgbooking has never been."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    answer = run("demo")
    assert answer.code == 0, answer.err
    return answer.out


def test_it_migrates_seeds_publishes_and_verifies_both_ways(demo: str) -> None:
    assert "migrations applied" in demo
    assert "Publishing all of it again: 0 rows written." in demo
    assert "compared with both calculators" in demo
    assert "P1 to P5 hold." in demo


def test_booking_takes_quarter_hours_away_and_cancelling_gives_them_back(demo: str) -> None:
    strips = {
        label: line.removeprefix(f"  {label}").strip()
        for line in demo.splitlines()
        for label in ("at first", "booked", "cancelled")
        if line.startswith(f"  {label}")
    }
    assert strips["cancelled"] == strips["at first"]
    assert strips["booked"].count("●") < strips["at first"].count("●")


def test_it_says_what_took_how_long(demo: str) -> None:
    for step in ("migrate", "seed and publish", "book: insert one appointment", "cancel", "verify"):
        assert any(
            line.startswith(step) and line.rstrip().endswith("s") for line in demo.splitlines()
        )


def test_a_role_that_may_not_become_anon_is_told_so_before_anything_is_made(
    run: Run, server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"plain_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    server.administer(f"create role {role} login")
    server.administer(f"grant booking_owner to {role}")
    try:
        with psycopg.connect(database_url) as connection:
            connection.execute(
                f"grant usage on schema booking_migrations to {role};"
                f"grant all on all tables in schema booking_migrations to {role}".encode()
            )
        monkeypatch.setenv("DATABASE_URL", psycopg.conninfo.make_conninfo(database_url, user=role))
        answer = run("demo")
        with psycopg.connect(database_url) as connection:
            assert connection.execute("select from booking.tenants").rowcount == 0
            connection.execute(f"drop owned by {role}".encode())
    finally:
        server.administer(f"drop role {role}")
    assert answer.code == 1
    assert f'"{role}" may not become it' in answer.err
    assert "grant anon to" in answer.err


def test_a_second_demonstration_goes_on_with_the_same_tenant(
    demo: str, run: Run, empty_database_url: str
) -> None:
    assert demo
    again = run("demo")
    assert again.code == 0
    assert "is there from an earlier demonstration" in again.out
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select from booking.tenants").rowcount == 1
