"""Where the old system's answer comes from, how it is read, and what becomes of its differences."""

from __future__ import annotations

import re
import shlex
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgbooking.compare_causes import WORDS
from tests.cli.conftest import Answer, Run, Start, answer_of
from tests.cli.old_system import NOW, counted, rows_of, write
from tests.postgres import Server
from tests.salon import TEN, Salon

README = (Path(__file__).parents[2] / "README.md").read_text()
PARALLEL_RUN = README.split("### 2. Parallel run")[1].split("\n### ")[0]
ONE_LESS_ONE_MORE = {"off_grid": 1, "unexplained": 1}


@pytest.fixture
def old(salon: Salon) -> list[tuple[str, str, str]]:
    """Ada's cuts without 10:15, and with 10:05."""
    rows = rows_of(salon)
    rows[rows.index(("Ada", "cut", "2026-03-03T10:15"))] = ("Ada", "cut", "2026-03-03T10:05")
    return rows


@pytest.fixture
def old_table(salon: Salon, old: list[tuple[str, str, str]]) -> str:
    """The same in a table of the old system, and a query of it."""
    salon.db.execute("create table public.old_slots (who text, what text, begins timestamp)")
    with salon.db.cursor().copy("copy public.old_slots from stdin") as copy:
        for row in old:
            copy.write_row(row)
    return "select who as staff, what as service, begins as start from public.old_slots"


def compare(run: Run, path: Path, *arguments: object) -> Answer:
    return run("verify", "--legacy-csv", path, "--json", *NOW, *arguments)


def test_an_answer_that_is_the_same_has_no_difference(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    rows = rows_of(salon)
    answer = compare(run, write(tmp_path / "old.csv", [*rows, rows[0]]))
    assert answer.code == 0
    legacy = answer.json["legacy"]
    assert legacy["differences"] == legacy["causes"] == legacy["rejected"] == []
    assert (legacy["slots"], legacy["old_starts"]) == (len(rows), len(rows))
    assert (legacy["from_date"], legacy["to_date"]) == ("2026-03-02", "2026-03-12")
    printed = run("verify", "--legacy-csv", tmp_path / "old.csv", *NOW).out
    assert printed.endswith("no differences, 0 not accepted.\n")


def test_a_file_a_query_and_stdin_say_the_same(
    run: Run, start: Start, salon: Salon, old: list[Any], old_table: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "old.csv", old)
    by_file = compare(run, path)
    by_query = run("verify", "--legacy-query", old_table, "--json", *NOW)
    process = start("verify", "--legacy-csv", "-", "--json", *NOW, stdin=path.open())
    by_stdin = answer_of(process)
    for answer in (by_file, by_query, by_stdin):
        assert answer.code == 1
        assert counted(answer.json) == ONE_LESS_ONE_MORE


def test_people_read_causes_with_examples(run: Run, old: list[Any], tmp_path: Path) -> None:
    printed = run("verify", "--legacy-csv", write(tmp_path / "old.csv", old), *NOW).out
    assert "2 differences, 2 not accepted." in printed
    assert "\n  off_grid 1: the old system has a start here that is none of ours\n" in printed
    assert "\n    missing: Ada, Tue 3 Mar 2026, 10:05 (Europe/Berlin), cut: " in printed
    assert "\n    extra: Ada, Tue 3 Mar 2026, 10:15 (Europe/Berlin), cut: " in printed


def test_both_are_looked_at_as_of_one_moment(
    run: Run, salon: Salon, old_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is booked after the query has run is not in either."""
    from pgbooking import compare as comparing

    understood = comparing._understood

    def book_meanwhile(*arguments: Any) -> Any:
        salon.appointment()
        return understood(*arguments)

    monkeypatch.setattr(comparing, "_understood", book_meanwhile)
    answer = run("verify", "--legacy-query", old_table, "--json", *NOW)
    assert counted(answer.json) == ONE_LESS_ONE_MORE
    assert not salon.available(salon.cut)


def test_what_the_readme_shows_runs(
    run: Run, salon: Salon, old_table: str, old: list[Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The last one goes on until it is stopped; test_verifying_on_schedule has it."""
    salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('nord', %s)", (salon.tenant,)
    )
    salon.db.execute("create schema shop")
    salon.db.execute(
        f"create view shop.free_times as select 1 as tenant_id, o.* from ({old_table}) o"
    )
    write(tmp_path / "old-slots.csv", old)
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^pgbooking (verify .*)$", PARALLEL_RUN, re.MULTILINE)
    codes = [run(*shlex.split(each), *NOW).code for each in commands[:-1]]
    assert codes == [1, 0, 1]
    _, last = commands[-1].split("--legacy-csv")
    assert run("verify", "--tenant", "nord", "--legacy-csv", last.split()[0], *NOW).code == 1


def test_the_readme_knows_every_cause() -> None:
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PARALLEL_RUN, re.MULTILINE)))
    assert sorted(told) == sorted(WORDS)


# Queries


def test_a_query_runs_in_the_old_systems_own_database(
    run: Run,
    salon: Salon,
    server: Server,
    empty_database_url: str,
    old: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With habits of its own, and times as instants."""
    with psycopg.connect(empty_database_url, autocommit=True) as other:
        other.execute("create table slots (who text, what text, begins timestamptz)")
        other.execute(
            "create function spoil() returns text begin atomic delete from slots returning who; end"
        )
        other.execute("alter database " + other.info.dbname + " set datestyle = 'SQL, DMY'")
        with other.cursor().copy("copy slots from stdin") as copy:
            for who, what, begins in old:
                copy.write_row((who, what, f"{begins}+01"))
    query = "select who as staff, what as service, begins as start from slots"
    asked = ("verify", "--legacy-query", query, "--json", *NOW)
    writing = run("verify", "--legacy-query", "select spoil() as staff, now() as start",
        "--dsn", empty_database_url, *NOW)  # fmt: skip
    assert writing.code == 2
    assert "cannot execute DELETE in a read-only transaction" in writing.err
    by_option = run(*asked, "--dsn", empty_database_url)
    monkeypatch.setenv("PGBOOKING_LEGACY_URL", empty_database_url)
    for answer in (by_option, run(*asked)):
        assert counted(answer.json) == ONE_LESS_ONE_MORE


NO_SLOTS = [
    ("select * from public.nowhere", 'relation "public.nowhere" does not exist'),
    ("delete from booking.staff", "The query cannot run: "),
    ("select 1; drop schema booking cascade", "The query cannot run: "),
    ("select set_config('a.b', 1 / 0 || '', true)", "division by zero"),
    ("select 'Ada' as staff, 'Ben' as staff", "two columns called 'staff'"),
    ("select 'Ada' as who", "The query has no column for staff"),
    (
        "select booking.delete_old_records()::text as staff, now() as start",
        "cannot execute DELETE in a read-only transaction",
    ),
    ("select 'Ada' as staff, now() as start where false", "offers nothing at all"),
]


def test_a_query_that_does_not_read_slots_is_one_sentence(run: Run, salon: Salon) -> None:
    for query, sentence in NO_SLOTS:
        answer = run("verify", "--legacy-query", query, *NOW)
        assert answer.code == (1 if "nothing" in sentence else 2)
        assert sentence in answer.err
        assert answer.out == ""
    assert salon.db.execute("select from booking.staff").rowcount == 1
    assert salon.db.execute("select from booking.verification_runs").rowcount == 0


def test_a_password_is_never_printed(run: Run, salon: Salon) -> None:
    for dsn, code in (
        ("postgresql://me:hush-hush@127.0.0.1:1/old", 3),
        ("postgresql://me:hush-hush@[::1", 2),
    ):
        asked = ("verify", "--legacy-query", "select 1", "--dsn", dsn)
        answer = run(*asked, *NOW)
        assert answer.code == code
        assert "PGBOOKING_LEGACY_URL" in answer.err
        assert "hush" not in answer.out + answer.err


# Rows


def test_rows_that_cannot_be_read_are_listed_and_the_rest_is_compared(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    bad = [
        ("Zoe", "cut", "2026-03-03T10:00"),
        ("Ada", "shave", "2026-03-03T10:00"),
        ("Ada", "cut", "half past ten"),
        ("Ada", "cut", "0001-01-01T10:00"),
        ("Ada", "cut", ""),
        ("", "cut", "2026-03-03T10:00"),
        ("Ada", "cut"),
    ]
    path = write(tmp_path / "old.csv", [*bad, *old])
    answer = compare(run, path)
    assert answer.code == 1
    assert counted(answer.json) == ONE_LESS_ONE_MORE
    rejected = [
        (each["line"], each["field"], each["value"], each["reason"])
        for each in answer.json["legacy"]["rejected"]
    ]
    assert rejected == [
        (2, "staff", "Zoe", "there is none"),
        (3, "service", "shave", "there is none"),
        (4, "start", "half past ten", "is not a time like 2025-01-31T14:30"),
        (5, "start", "0001-01-01T10:00:00", "is not within the years 1900 to 9998"),
        (6, "start", "", "is empty"),
        (7, "staff", "", "is empty"),
        (8, "row", "Ada,cut", "2 cells, though the header has 3"),
    ]
    printed = run("verify", "--legacy-csv", path, *NOW).out
    assert "line 2: rejected: staff 'Zoe': there is none\n" in printed


def test_bad_rows_alone_are_exit_code_1(run: Run, salon: Salon, tmp_path: Path) -> None:
    rows = [*rows_of(salon), ("Zoe", "cut", "2026-03-03T10:00")]
    answer = compare(run, write(tmp_path / "old.csv", rows))
    assert answer.json["legacy"]["differences"] == []
    assert answer.code == 1


def test_a_length_that_is_none_is_rejected(run: Run, salon: Salon, tmp_path: Path) -> None:
    rows = [
        ("Ada", "2026-03-03T10:00", "", "0"),
        ("Ada", "2026-03-03T10:00", "2026-03-03T09:30", ""),
        ("Ada", "2026-03-03T10:00", "2026-03-05T10:00", ""),
    ]
    path = write(tmp_path / "old.csv", rows, ("staff", "start", "end", "duration_minutes"))
    answer = compare(run, path)
    assert answer.code == 1
    assert [
        (each["line"], each["field"], each["reason"]) for each in answer.json["legacy"]["rejected"]
    ] == [
        (2, "duration_minutes", "is not 1 to 1440 minutes"),
        (3, "end", "is not 1 to 1440 minutes after the start"),
        (4, "end", "is not 1 to 1440 minutes after the start"),
    ]


def test_a_time_that_clocks_leave_out_is_noted(run: Run, salon: Salon, tmp_path: Path) -> None:
    path = write(tmp_path / "old.csv", [("Ada", "cut", "2026-03-29T02:30")])
    printed = run("verify", "--legacy-csv", path, "--to", "2026-03-29", *NOW).out
    assert "line 2: note: start 2026-03-29T02:30:00 does not exist in Europe/Berlin" in printed


def test_people_go_by_external_id_name_or_id_services_by_external_id_or_code(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    salon.db.execute("update booking.staff set external_id = 'E7'")
    salon.db.execute("update booking.appointment_types set external_id = 'C1' where code = 'cut'")
    names = ["E7", "Ada", str(salon.person)]
    rows = [
        (names[number % 3], ["C1", "cut"][number % 2], start)
        for number, (_, _, start) in enumerate(old)
    ]
    assert counted(compare(run, write(tmp_path / "old.csv", rows)).json) == ONE_LESS_ONE_MORE


def test_a_start_may_say_how_long_it_takes_or_nothing(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    salon.db.execute("delete from booking.staff_appointment_types where appointment_type_id = %s",
        (salon.course,))  # fmt: skip
    for columns, offer in (
        (("staff", "start", "duration_minutes"), "30 min"),
        (("staff", "start", "end"), "30 min"),
        (("staff", "start"), "anything"),
    ):
        values = {"duration_minutes": lambda _: 30, "end": later}
        rows = [
            (staff, start, *(values[name](start) for name in columns[2:]))
            for staff, _, start in old
        ]
        answer = compare(run, write(tmp_path / "old.csv", rows, columns))
        assert counted(answer.json) == ONE_LESS_ONE_MORE
        assert {
            (each["expected"] or each["published"])["offer"]
            for each in answer.json["legacy"]["differences"]
        } == {offer}


def later(start: str) -> str:
    """Half an hour later."""
    return (datetime.fromisoformat(start) + timedelta(minutes=30)).isoformat()


def test_a_place_that_is_named_counts_and_has_its_own_clock(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    """In London it is an hour earlier, so half of what is said of it is not so."""
    salon.insert("locations", name="London", timezone="Europe/London", external_id="L2")
    rows = [("Ada", "cut", "2026-03-03T10:00", place) for place in ("Mitte", "London")]
    rows += [("Ada", "cut", "2026-03-03T11:00", "Mitte")]
    path = write(tmp_path / "old.csv", rows, ("staff", "service", "start", "location"))
    found = compare(run, path, "--from", "2026-03-03").json["legacy"]
    (missing,) = [each for each in found["differences"] if each["kind"] == "missing"]
    assert missing["start_time"] == "2026-03-03T10:00:00+00:00"
    assert "10:00 (Europe/London)" in missing["reason"]
    assert missing["cause"] == "outside_hours"
    assert found["slots"] == 31
    assert len(found["differences"]) == 1 + 31 - 2


def test_a_mapping_names_columns_formats_values_and_zone(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    """The till writes times of New York, six hours earlier, in its own way."""
    rows = []
    for _, _, start in old:
        hour = int(start[11:13]) - 6
        clock = f"{(hour - 1) % 12 + 1}:{start[14:]} {'AM' if hour < 12 else 'PM'}"
        rows.append(("ADA", f"{start[5:7]}/{start[8:10]}/{start[:4]}", clock, "Haircut"))
    path = write(tmp_path / "old.csv", rows, ("Who", "Day", "Time", "What"))
    mapping = tmp_path / "map.toml"
    mapping.write_text(
        """
        [slots]
        time_zone = "America/New_York"
        columns = { staff = "Who", date = "Day", time = "Time", service = "What" }
        formats = { date = "%m/%d/%Y", time = "%I:%M %p" }
        values = { staff = { ADA = "Ada" }, service = { Haircut = "cut" } }
        """
    )
    # New York changes its clocks on 8 March, Berlin does not.
    answer = compare(run, path, "--map", mapping, "--to", "2026-03-07")
    assert counted(answer.json) == ONE_LESS_ONE_MORE


def test_only_the_dates_and_the_person_asked_for_are_compared(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    salon.add_person("Ben")
    path = write(tmp_path / "old.csv", [*old, *rows_of(salon, "Ben")[1:]])
    everyone = compare(run, path).json
    assert counted(everyone) == ONE_LESS_ONE_MORE | {"old_hours": 1}
    only_ben = compare(run, path, "--staff", "Ben", "--tenant", salon.tenant).json
    assert counted(only_ben) == {"old_hours": 1}
    assert only_ben["legacy"]["left_out"] == len(old)
    later = compare(run, path, "--from", "2026-03-04", "--to", "2026-03-05").json["legacy"]
    assert later["differences"] == []
    assert (later["slots"], later["left_out"]) == (2 * 62, 2 * 31 * 9 - 1)


# Tenants


def test_one_of_several_tenants_has_to_be_named(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "old.csv", old)
    salon.db.execute("insert into booking.tenants (name, timezone) values ('B', 'UTC')")
    answer = compare(run, path)
    assert answer.code == 2
    assert "There are 2 tenants, and this is about one." in answer.err
    assert run("verify", "--accept", "off_grid").code == 2
    assert counted(compare(run, path, "--tenant", salon.tenant).json) == ONE_LESS_ONE_MORE


def test_options_that_do_not_go_together_are_refused(run: Run) -> None:
    for options in (
        ("--legacy-csv", "a", "--legacy-query", "b"),
        ("--legacy-csv", "-", "--schedule", "* * * * *"),
        ("--since", "2026-03-01"),
        ("--from", "2026-03-01"),
        ("--map", "salon.toml"),
        ("--history", "--accept", "held"),
        ("--history", "--independent"),
        ("--accept", "held", "--schedule", "* * * * *"),
    ):
        assert run("verify", *options).code == 2, options


def test_slots_of_another_system_are_not_imported(run: Run, tmp_path: Path) -> None:
    answer = run("import", "slots", write(tmp_path / "old.csv", []))
    assert answer.code == 2
    assert "'slots' is none of staff" in answer.err


# Accepting, and earlier runs


def test_what_is_accepted_is_settled_on_record_and_as_it_is_found(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    path = write(tmp_path / "old.csv", [*rows_of(salon), ("Ada", "cut", "2026-03-03T10:05")])
    assert compare(run, path).code == 1
    answer = run("verify", "--accept", "off_grid", *NOW)
    assert answer.code == 0
    assert answer.out == "off_grid is accepted: 1 differences on record.\n"
    assert [row[0] for row in recorded(salon)] == [True]
    again = compare(run, path)
    assert again.code == 0
    assert again.json["legacy"]["not_accepted"] == 0
    assert again.json["legacy"]["causes"] == [
        {"cause": "off_grid", "differences": 1, "accepted": 1}
    ]
    assert recorded(salon) == [(True, "off_grid")] * 2
    assert run("verify", "--accept", "off_grid", "--json", *NOW).json == [
        {"cause": "off_grid", "differences": 0}
    ]
    # Something else is a new difference.
    more = write(tmp_path / "more.csv", [*rows_of(salon), ("Ada", "cut", "2026-03-03T08:00")])
    assert compare(run, more).code == 1


def recorded(salon: Salon) -> list[tuple[Any, ...]]:
    return salon.db.execute(
        "select accepted_at is not null, cause from booking.verification_differences"
    ).fetchall()


def test_only_a_cause_that_was_found_and_is_understood_can_be_accepted(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    none = run("verify", "--accept", "off_grid", *NOW)
    assert none.code == 2
    assert "Causes so far: none" in none.err
    compare(run, write(tmp_path / "old.csv", old))
    unheard = run("verify", "--accept", "off_grid", "--accept", "sunspots", *NOW)
    assert unheard.code == 2
    assert "Causes so far: off_grid, unexplained" in unheard.err
    assert run("verify", "--accept", "unexplained", *NOW).code == 2
    assert {row[0] for row in recorded(salon)} == {False}
    assert salon.db.execute("select from booking.accepted_causes").rowcount == 0


def test_the_history_lists_runs_and_is_clean_when_all_are(
    run: Run, salon: Salon, old: list[Any], tmp_path: Path
) -> None:
    assert run("verify", "--history").out == "There is no run on record.\n"
    run("verify", "--independent", "--now", "2026-03-02T05:00Z")
    path = write(tmp_path / "old.csv", old)
    compare(run, path)
    salon.db.execute("delete from booking.availability_slots where start_time = %s", [TEN])
    run("verify", "--repair", "--now", "2026-03-02T07:00Z")
    answer = run("verify", "--history", "--json")
    assert answer.code == 1
    found = [
        (each["compared_with"], each["differences"], each["open"], each["causes"])
        for each in answer.json
    ]
    # The clock stands still between a repair and the look at it.
    assert sorted(found[:2], key=str) == [
        ("calculator", 0, 0, {}),
        ("calculator", 2, 0, {"P2": 2}),
    ]
    assert found[2:] == [
        ("legacy", 2, 2, {"off_grid": 1, "unexplained": 1}),
        ("calculator", 0, 0, {}),
    ]
    assert [each["repaired"] > 0 for each in answer.json].count(True) == 1
    since = run("verify", "--history", "--since", "2026-03-02T07:00", "--json")
    assert (since.code, len(since.json)) == (0, 2)
    assert run("verify", "--history", "--since", "2026-03-03").code == 0
    assert len(run("verify", "--history", "--since", "2026-03-02", "--json").json) == 4
    run("verify", "--accept", "off_grid", *NOW)
    half = run("verify", "--history")
    assert half.code == 1
    assert (
        "2026-03-02 06:00 UTC  Salon, with the old system: 1 calendars, 341 slots, "
        "2 differences, 1 open, 0 rows repaired\n    off_grid 1\n    unexplained 1\n"
    ) in half.out
    assert "Salon, with both calculators: 1 calendars" in half.out


def test_the_calculators_are_asked_too_where_options_say_so(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    path = write(tmp_path / "old.csv", rows_of(salon))
    salon.db.execute("delete from booking.availability_slots where start_time = %s", [TEN])
    assert counted(compare(run, path).json) == {"stale": 1}
    answer = compare(run, path, "--repair")
    assert answer.code == 0
    assert answer.json["before_repair"]["rows_written"] == 2
    assert answer.json["legacy"]["differences"] == []


# Many


def test_a_thousand_differences_are_explained_faster_than_one_by_one(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    """The old system has a start an hour where we have four, and here and there one of its own.
    Each of these differences more may take no longer than explaining one start by itself."""
    names = ["Ada", "Ben", "Cem", "Dea"]
    for name in names[1:]:
        salon.add_person(name)
    few, many = [], []
    for name in names:
        rows = rows_of(salon, name)
        hourly = [row for row in rows if row[2].endswith(":00")]
        own = [(name, "cut", start.replace(":00", ":05")) for _, _, start in hourly]
        few += rows[:-10] + own[:10] if name == "Ada" else rows
        many += hourly + own[:40]
    took_few = seconds(run, write(tmp_path / "few.csv", few), 20)
    took_many = seconds(run, write(tmp_path / "many.csv", many), 1172)
    assert (took_many - took_few) / (1172 - 20) < seconds_to_explain(salon)


def seconds_to_explain(salon: Salon) -> float:
    """One start, of fifty that are none."""
    began = time.perf_counter()
    salon.db.execute(
        "select count(*) from generate_series(1, 50) as n cross join lateral"
        " booking.explain_slot(%s, %s, %s, %s, %s + n * interval '1 minute')",
        (salon.tenant, salon.person, salon.location, salon.cut, TEN),
    )
    return (time.perf_counter() - began) / 50


def seconds(run: Run, path: Path, differences: int) -> float:
    legacy = compare(run, path).json["legacy"]
    assert len(legacy["differences"]) == differences
    return float(legacy["seconds"])
