"""pgbooking demo: from an empty database to verified slots, and what it shows on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

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


@pytest.mark.parametrize("scenario", ["salon", "instructor"])
def test_it_runs_as_a_role_that_is_no_superuser(
    server: Server, run: Run, plain_role: str, scenario: str
) -> None:
    server.administer(f"grant anon, service_role to {plain_role}")
    answer = run("demo", "--scenario", scenario)
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


# The driving instructor.

WINTER_THURSDAY = "2026-01-15T10:00:00+01:00"


@pytest.fixture(scope="module")
def instructor(demo_url: str, demo: str) -> str:
    """What the other demonstration prints, after that of the salon in the same database."""
    assert demo
    return told_at(demo_url, WINTER_THURSDAY)


def told_at(url: str, now: str) -> str:
    """What it prints when the clock stands still at that time."""
    process = process_of(
        make_conninfo(url, options=f"-c booking.fake_now={now}"), "demo", "--scenario", "instructor"
    )
    try:
        answer = answer_of(process, seconds=120)
    finally:
        process.kill()
    assert answer.code == 0, answer.err
    return answer.out


def part(story: str, number: int) -> str:
    """What is told under that number."""
    return story.split(f"\n{number}. ")[1].split(f"\n{number + 1}. ")[0]


def strips(text: str) -> list[dict[str, list[str]]]:
    """Each picture of a day: at each place the quarters at which a lesson can begin."""
    rows = [
        (place, re.findall(r"(\d\d)([●·]{4})", line))
        for line in text.splitlines()
        for place in ("Town", "Station", "Village")
        if re.match(rf"  {place} +08[●·]{{4}}", line)
    ]
    found = [
        (
            place,
            [
                f"{hour}:{minute:02}"
                for hour, marks in hours
                for mark, minute in zip(marks, (0, 15, 30, 45), strict=True)
                if mark == "●"
            ],
        )
        for place, hours in rows
    ]
    return [dict(found[n : n + 3]) for n in range(0, len(found), 3)]


def test_the_hours_of_the_instructor_change_with_the_season(instructor: str) -> None:
    told = part(instructor, 1)
    assert "Summer hours begin on Mon 9 Feb, winter hours end on Sun 15 Feb" in told
    rows = [line.split() for line in told.splitlines()]
    week = ["09-18", "09-18", "09-18", "-", "09-18", "12-20", "-"]
    assert ["Town", "19", "Jan", "winter", *week] in rows
    assert ["9", "Feb", "both", *["09-20"] * 5, "-", "-"] in rows
    assert ["16", "Feb", "summer", *["11-20"] * 5, "-", "-"] in rows


def test_each_service_has_its_notice_and_its_days_ahead(instructor: str) -> None:
    rows = [line.split("  ") for line in part(instructor, 1).splitlines()]
    told = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    # An hour before 11:00 it is now, which is too late.
    assert told["Single lesson"][3:] == ["Thu 15 Jan 11:15", "Mon 16 Mar"]
    assert told["Double lesson"][3:] == ["Fri 16 Jan 09:00", "Mon 16 Mar"]
    assert told["Motorway drive"][3:] == ["Mon 19 Jan 09:00", "Thu 5 Feb"]


def test_prices_follow_notice_evening_and_weekend(instructor: str) -> None:
    told = part(instructor, 2)
    assert re.search(r"Fri 16 Jan  within 96 hours  58.50 EUR 09:00 to 16:30$", told, re.MULTILINE)
    assert "65.00 EUR 09:00 to 15:45, 78.00 EUR 16:00 to 16:30" in told
    assert "71.50 EUR 12:00 to 15:45, 84.50 EUR 16:00 to 18:30" in told


def test_a_lesson_in_the_village_leaves_the_ends_of_runs_and_time_for_the_way(
    instructor: str,
) -> None:
    (free,) = strips(part(instructor, 2))
    (left,) = strips(part(instructor, 3))
    assert "Village, 12:15 to 13:45" in part(instructor, 3)
    assert free["Town"][0] == "09:00"
    assert free["Town"][-1] == "16:30"
    assert len(free["Town"]) == 31
    # There 30 minutes and 45 back; from the station 30 either way.
    assert left == {
        "Town": ["09:00", "10:15", "14:30", "16:30"],
        "Station": ["09:00", "10:15", "14:15", "15:30"],
        "Village": ["10:00", "10:45", "13:45", "14:30"],
    }


def test_it_says_why_a_time_is_refused_for_each_rule(instructor: str) -> None:
    told = " ".join(instructor.split())
    assert "✗ free No time to travel: appointment at Village: Tue 20 Jan 2026, 12:15" in told
    assert "✗ compact Nora keeps a compact schedule" in told
    assert "✗ day limit Nora takes 3 appointments a day, and has them on Tue 20 Jan 2026." in told


def test_three_lessons_are_a_full_day(instructor: str) -> None:
    two, three = strips(part(instructor, 4))
    assert two["Town"]
    assert three == {"Town": [], "Station": [], "Village": []}


def test_the_quote_outlives_the_price_rule(instructor: str) -> None:
    prices = dict(re.findall(r"^  (\w+).* (\d+\.\d\d) EUR$", part(instructor, 5), re.MULTILINE))
    assert prices == {"listed": "104.00", "held": "84.50", "booked": "84.50", "on": "84.50"}


def test_a_far_day_is_booked_without_rows_and_published_as_it_was_listed(
    instructor: str, demo_url: str
) -> None:
    told = part(instructor, 6)
    free, left = strips(told)
    assert "Tue 24 Feb, 40 days from today, has 0 rows" in told
    assert "Still 0 rows of that day" in told
    assert len(left["Town"]) == 4 < len(free["Town"])
    told = part(instructor, 7)
    assert told.count("P1 to P5 hold.") == 2
    assert "is listed as before, id for id." in " ".join(told.split())
    with psycopg.connect(demo_url) as connection:
        booked = connection.execute(
            "select count(*) from booking.appointments a join booking.tenant_slugs s"
            " using (tenant_id) where s.slug = 'demo-instructor-1'"
        ).fetchone()
    assert booked == (5,)


def test_it_is_no_wider_than_a_page(instructor: str) -> None:
    assert [line for line in instructor.splitlines() if len(line) > 100] == []


@pytest.mark.parametrize(
    "now",
    [
        "2026-03-28T23:59:00+01:00",  # a Saturday, the last minute before clocks change
        "2026-10-25T02:30:00+02:00",  # Sunday, in the hour that comes twice
        "2027-12-31T23:30:00+01:00",
    ],
)
def test_the_story_holds_on_any_day_and_again_in_the_same_database(
    instructor: str, demo_url: str, now: str
) -> None:
    assert instructor
    today = datetime.fromisoformat(now)
    story = told_at(demo_url, now)
    assert f"today {today:%a} {today.day} {today:%b %Y}." in story
    assert story.count("P1 to P5 hold.") == 2


def test_an_answer_that_spoils_the_story_ends_it(
    run: Run, db: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the way back of its own, there is no asymmetry to tell of."""
    monkeypatch.setattr("pgbooking.demo_instructor.TRAVEL", (("Town", "Village", 30),))
    answer = run("demo", "--scenario", "instructor")
    assert answer.code == 1
    assert "the way back from the village is not longer" in answer.err
