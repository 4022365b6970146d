"""pgbooking demo: from an empty database to verified slots, and what it shows on the way."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.cli.conftest import Run, answer_of, process_of
from tests.postgres import Server


@pytest.fixture(scope="module")
def demo_url(server: Server) -> Iterator[str]:
    """A database in which nothing but demonstrations has been."""
    with server.database() as url:
        yield url


@pytest.fixture(scope="module")
def demo(demo_url: str) -> str:
    """What a first demonstration prints, in a database where pgbooking has never been."""
    process = process_of(demo_url, "demo")
    try:
        answer = answer_of(process, seconds=120)
    finally:
        process.kill()
    assert answer.code == 0, answer.err
    return answer.out


def test_it_migrates_seeds_publishes_and_verifies_both_ways(demo: str) -> None:
    assert "migrations applied" in demo
    assert "Publishing all of it again: 0 rows written." in demo
    assert "compared with both calculators" in demo
    assert "P1 to P5 hold." in demo


def test_anon_sees_times_go_with_hold_and_booking_and_come_back_when_moved_and_cancelled(
    demo: str,
) -> None:
    strips = {
        label: line.removeprefix(f"  {label}").strip()
        for line in demo.splitlines()
        for label in ("at first", "reserved", "booked", "moved", "cancelled")
        if line.startswith(f"  {label}")
    }
    assert strips["reserved"].count("●") < strips["at first"].count("●")
    assert strips["booked"] == strips["reserved"]
    assert strips["moved"].count("●") < strips["at first"].count("●")
    assert strips["moved"] != strips["booked"]
    assert strips["cancelled"] == strips["at first"]


def test_a_second_visitor_is_refused_and_a_mailer_is_told_what_happened(demo: str) -> None:
    assert "slot_taken: This time is no longer available. Choose another time." in demo
    assert "Events for a mailer: booked, moved, cancelled." in demo


def test_it_says_what_took_how_long(demo: str) -> None:
    for step in (
        "migrate",
        "seed and publish",
        "reserve_slot, as anon",
        "reserve_slot, refused",
        "create_appointment, as service_role",
        "reschedule_appointment, as anon",
        "cancel_appointment, as anon",
        "verify",
    ):
        assert any(
            line.startswith(step) and line.rstrip().endswith("s") for line in demo.splitlines()
        )


@pytest.fixture
def plain_role(server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role that is no superuser and may act for the owner; commands log in as it."""
    role = f"plain_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    server.administer(f"create role {role} login")
    server.administer(f"grant booking_owner to {role}")
    with psycopg.connect(database_url) as connection:
        connection.execute(
            f"grant usage on schema booking_migrations to {role};"
            f"grant all on all tables in schema booking_migrations to {role}".encode()
        )
    monkeypatch.setenv("DATABASE_URL", psycopg.conninfo.make_conninfo(database_url, user=role))
    yield role
    with psycopg.connect(database_url) as connection:
        connection.execute(f"drop owned by {role}".encode())
    server.administer(f"drop role {role}")


def test_it_runs_as_a_role_that_is_no_superuser(server: Server, run: Run, plain_role: str) -> None:
    server.administer(f"grant anon, service_role to {plain_role}")
    answer = run("demo")
    assert answer.code == 0, answer.err
    assert "P1 to P5 hold." in answer.out


@pytest.mark.parametrize("granted", ["service_role", "anon"])
def test_a_role_that_may_not_become_its_callers_is_told_so_before_anything_is_made(
    server: Server, run: Run, plain_role: str, db: psycopg.Connection, granted: str
) -> None:
    missing = "anon" if granted == "service_role" else "service_role"
    server.administer(f"grant {granted} to {plain_role}")
    answer = run("demo")
    assert answer.code == 1
    assert f'calls as the role {missing}, and "{plain_role}" may not become it' in answer.err
    assert f'grant anon, service_role to "{plain_role}"' in answer.err
    assert db.execute("select from booking.tenants").rowcount == 0


def test_a_second_demonstration_goes_on_with_the_same_tenant(
    demo: str, demo_url: str, run_without_database: Run
) -> None:
    assert demo
    again = run_without_database("demo", "--database-url", demo_url)
    assert again.code == 0
    assert "is there from an earlier demonstration" in again.out
    with psycopg.connect(demo_url) as connection:
        assert connection.execute("select from booking.tenants").rowcount == 1
