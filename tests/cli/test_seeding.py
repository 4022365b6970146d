"""pgbooking seed: realistic tenants, exact from the first moment, the same for the same seed."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgbooking import app
from pgbooking.seed import PUBLISHED_AT_ONCE
from tests.cli.conftest import Run
from tests.postgres import Server

NOW = "2026-03-02T07:00+01:00"
CONTENTS = """
select t.name, t.timezone, t.slot_alignment, null::text, null::text, null::text, null::text
from booking.tenants t
union all
select 'hours', s.display_name, h.weekday::text, h.start_time::text, h.end_time::text,
  h.valid_from::text, h.valid_until::text
from booking.working_hours h join booking.staff s on s.id = h.staff_id
union all
select 'appointment', s.display_name, a.start_time::text, a.end_time::text, a.status,
  a.customer::text, t.code
from booking.appointments a
join booking.staff s on s.id = a.staff_id
join booking.appointment_types t on t.id = a.appointment_type_id
union all
select 'busy', s.display_name, b.start_time::text, b.end_time::text, b.external_id, null, null
from booking.busy_times b join booking.staff s on s.id = b.staff_id
order by 1, 2, 3, 4, 5, 6, 7
"""


def test_seeded_tenants_of_all_alignments_are_exact_by_both_calculators(run: Run) -> None:
    # Of three people one is on vacation and one has a season of other hours; so with more of them.
    sizes = ("--tenants", 3, "--staff", 3, "--locations", 2, "--services", 7)
    seeded = run("seed", *sizes, "--now", NOW, "--json")
    assert seeded.code == 0, seeded.err
    assert [each["slot_alignment"] for each in seeded.json] == ["window", "clock", "gapless"]
    verified = run("verify", "--independent", "--now", NOW, "--json")
    assert verified.json["differences"] == 0
    assert verified.code == 0


def test_sizes_are_as_asked_for(run: Run, db: psycopg.Connection) -> None:
    (tenant,) = run(
        "seed", "--staff", 3, "--appointments-per-staff", 25, "--busy-times-per-staff", 4, "--json"
    ).json
    assert (tenant["staff"], tenant["busy_times"]) == (3, 12)
    assert 60 <= tenant["appointments"] <= 90  # one that would overlap is left out
    assert counted(db, "staff") == 3
    assert counted(db, "appointments") == tenant["appointments"]
    assert counted(db, "availability_slots") == tenant["slots"]
    by_hand_and_from_slots = db.execute(
        "select count(*) filter (where slot_id is null), count(slot_id) from booking.appointments"
    ).fetchone()
    assert by_hand_and_from_slots
    assert all(by_hand_and_from_slots)


def test_more_people_than_are_refreshed_at_once_are_published_and_not_left_queued(
    run: Run, db: psycopg.Connection
) -> None:
    sizes = ("--staff", PUBLISHED_AT_ONCE + 3, "--services", 1, "--appointments-per-staff", 5)
    assert run("seed", *sizes, "--now", NOW).code == 0
    assert counted(db, "refresh_queue") == 0
    assert run("verify", "--now", NOW, "--json").json["differences"] == 0


def test_the_same_random_seed_on_the_same_day_makes_the_same(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ("--tenants", "2", "--services", "3")

    def contents(random_seed: str) -> list[tuple[Any, ...]]:
        with server.database(server.template) as url:
            monkeypatch.setenv("DATABASE_URL", url)
            with pytest.raises(SystemExit):
                app.main(["seed", *sizes, "--random-seed", random_seed, "--now", NOW])
            with psycopg.connect(url) as connection:
                return connection.execute(CONTENTS).fetchall()

    first = contents("7")
    assert len(first) > 400
    assert contents("7") == first
    assert contents("8") != first


def test_a_random_seed_that_is_sown_already_is_refused(run: Run, db: psycopg.Connection) -> None:
    assert run("seed", "--random-seed", 3, "--staff", 1).code == 0
    again = run("seed", "--random-seed", 3, "--staff", 1)
    assert again.code == 2
    assert "'seed-3-1' is there already" in again.err
    assert "--random-seed" in again.err
    assert counted(db, "tenants") == 1


@pytest.mark.parametrize(
    "arguments",
    [("--staff", "0"), ("--tenants", "many"), ("--services", "99"), ("--now", "yesterday")],
)
def test_a_size_that_cannot_be_is_exit_code_2(run: Run, arguments: tuple[str, str]) -> None:
    answer = run("seed", *arguments)
    assert answer.code == 2
    assert arguments[0] in answer.err


def test_people_read_what_was_made(run: Run) -> None:
    printed = run("seed", "--staff", 2).out
    assert "2 staff" in printed
    assert "slots published" in printed


def counted(db: psycopg.Connection, table: str) -> int:
    """Rows of a table."""
    [(number,)] = db.execute(f"select count(*) from booking.{table}".encode()).fetchall()
    return int(number)
