"""pgbooking import --query: a query's rows are taken as a CSV file's would be."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from tests.cli.conftest import SALON_NOW, Run, Write
from tests.salon import Salon

OLD_BOOKINGS = """
create schema legacy;
create type legacy.state as enum ('confirmed', 'cancelled');
create table legacy.bookings (
  id numeric, who text, what text, starts timestamptz, local timestamp, minutes smallint,
  state legacy.state, remark text, at interval
);
insert into legacy.bookings values
  (1.0, 'Ada', 'cut', '2026-03-03 10:00+05:30', '2026-03-03 10:00', 45, 'confirmed', null, '1 h'),
  (2.0, 'Ada', 'cut', 'infinity', '-infinity', 30, 'confirmed', 'comes early', '1 h'),
  (3.0, 'Ada', 'cut', '2026-03-05 09:15:30.5+00', '2026-03-05 09:15', null, 'cancelled', '', null);
"""
SELECT = "select id, who, what, starts, minutes, state, remark from legacy.bookings order by id"
MAP = """
source = "old"
[appointments.columns]
staff = "who"
service = "what"
start = "starts"
duration_minutes = "minutes"
status = "state"
notes = "remark"
external_id = "id"
"""


def test_a_querys_rows_are_loaded_as_a_csv_files_would_be_and_are_told_by_number(
    run: Run, write: Write, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    salon.db.execute(OLD_BOOKINGS.encode())
    # Neither the old system's way to write dates nor its zone may matter.
    options = r"options='-c datestyle=German,DMY -c timezone=Asia/Kolkata'"
    monkeypatch.setenv("PGBOOKING_LEGACY_URL", f"{salon.db.info.dsn} {options}")
    command = ("import", "appointments", "--map", write("map.toml", MAP), "--tenant", salon.tenant)
    answer = run(*command, "--query", SELECT, "--now", SALON_NOW)
    assert answer.code == 1
    assert "row 2: rejected: start 'infinity': is not a time like" in answer.out
    assert "The query into Salon: 3 rows, 2 loaded, 0 there already, 1 rejected." in answer.out
    loaded = salon.db.execute(
        "select external_id, start_time at time zone 'UTC', end_time - start_time, status, notes,"
        " source from booking.appointments order by 1"
    ).fetchall()
    assert [tuple(map(str, row)) for row in loaded] == [
        ("1.0", "2026-03-03 04:30:00", "0:45:00", "confirmed", "None", "old"),
        ("3.0", "2026-03-05 09:15:30.500000", "0:30:00", "cancelled", "None", "old"),
    ]
    # The same rows as text are there already: cells and so ids are what a CSV file has.
    again = run(*command, "--query", SELECT.replace("starts,", "local as starts,"), "--json").json
    assert (again["loaded"], again["already_there"], again["unit"]) == (0, 2, "row")


def test_ids_made_of_what_a_row_says_are_those_of_the_same_csv_file(
    run: Run, write: Write, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "staff,start,duration_minutes\nAda,2026-03-03T09:00:00+00:00,45\n"
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    command = ("import", "busy-times", "--tenant", salon.tenant, "--json")
    report = run(*command, "-").json
    assert (report["file"], report["loaded"]) == ("standard input", 1)
    query = "select 'Ada' as staff, '2026-03-03 10:00+01'::timestamptz as start, 45 as {}"
    salon.db.execute(f'alter database "{salon.db.info.dbname}" set timezone to UTC'.encode())
    report = run(*command, "--query", query.format("duration_minutes")).json
    assert (report["loaded"], report["already_there"]) == (0, 1)
    answer = run(*command, "--query", query.format("minutes"), "--source", "elsewhere")
    assert answer.code == 1  # no end: a column of another name is not read
    query = (
        "select 'Ada' as staff, 6 as weekday, time '09:00' as start_time, time '24:00' as end_time"
    )
    assert run("import", "hours", *command[2:], "--query", query).json["loaded"] == 1


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("selec 1", 'The query cannot run: syntax error at or near "selec".'),
        ("select 1 as name from nowhere", 'The query cannot run: relation "nowhere" does not'),
        ("select 1/0 as name", "The query cannot run: division by zero."),
        ("select 'x' as name; commit; drop table booking.staff", "The query cannot run: cannot"),
        ("delete from booking.staff returning display_name as name", "The query cannot run:"),
        ("select pg_catalog.setval('s', 7) as name", "cannot execute setval() in a read-only"),
        ("select 1 as name, 2 as name", "The query has two columns called 'name'."),
        ("select", "The query has no column for name."),
    ],
)
def test_a_query_that_cannot_be_used_is_one_sentence_and_exit_code_2(
    shared_salon: Salon, module_run: Run, query: str, complaint: str
) -> None:
    shared_salon.db.execute("create sequence if not exists public.s")
    answer = module_run("import", "staff", "--query", query, "--tenant", shared_salon.tenant)
    assert answer.code == 2
    assert complaint in answer.err
    assert answer.err.count("Error:") == 1
    assert shared_salon.db.execute("select from booking.staff").rowcount == 1


@pytest.mark.parametrize(
    ("dsn", "code"),
    [
        ("postgresql://me:s3cret@127.0.0.1:1/old", 3),
        ("postgresql://me:an@s3cret@127.0.0.1:1/old", 2),
        ("postgresql://me:s3cret@127.0.0.1:port/old", 3),
        ("postgresql://me:s3cret@[::1/old", 2),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    module_run: Run, dsn: str, code: int
) -> None:
    answer = module_run("import", "staff", "--dsn", dsn, "--query", "select 1 as name")
    assert answer.code == code
    assert "--dsn" in answer.err
    assert "s3cret" not in answer.err + answer.out


def test_a_connection_that_is_lost_half_way_leaves_nothing_half_written(
    shared_salon: Salon, module_run: Run
) -> None:
    query = (
        "select 'Person ' || n as name, case when n = 3000 then"
        " pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())::text end as services"
        " from generate_series(1, 4000) as n"
    )
    answer = module_run("import", "staff", "--query", query, "--tenant", shared_salon.tenant)
    assert answer.code == 3
    assert "The connection to the database was lost" in answer.err
    assert shared_salon.db.execute("select from booking.staff").rowcount == 1


def test_file_and_query_exclude_each_other_and_one_is_needed(run_without_database: Run) -> None:
    for arguments in ([], ["staff.csv", "--query", "select 1"]):
        answer = run_without_database("import", "staff", *arguments)
        assert answer.code == 2
        assert "say where from, once" in answer.err
