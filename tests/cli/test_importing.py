"""pgbooking import: what can be loaded is, the rest is listed, and a second run changes nothing."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import SALON_NOW, Run, Write
from tests.salon import Salon

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
MAP = EXAMPLES / "salon.toml"


@pytest.fixture
def tenant(salon: Salon) -> str:
    """The id of a tenant with the people Ada, the place Mitte and the services cut and course."""
    return str(salon.tenant)


# The documented example


def test_the_example_is_loaded_but_for_what_it_gets_wrong(run: Run) -> None:
    hours = run("import", "hours", EXAMPLES / "salon-hours.csv", "--map", MAP, "--json")
    assert (hours.code, hours.json["loaded"]) == (0, 6)
    assert hours.json["created"] == {
        "tenant": ["salon"],
        "staff": ["ANNA", "BEN"],
        "location": ["Salon"],
    }
    bookings = run(
        "import", "appointments", EXAMPLES / "salon-bookings.csv", "--map", MAP, "--json"
    )
    report = bookings.json
    assert bookings.code == 1
    assert (report["rows"], report["loaded"], report["already_there"]) == (9, 7, 0)
    assert report["created"] == {"service": ["CON", "CTU", "SBD", "SHCM", "SHCW"]}
    assert [(each["line"], each["field"], each["reason"]) for each in report["rejected"]] == [
        (8, "start", "overlaps line 7"),
        (9, "date", "is not a date in the format %m/%d/%Y"),
    ]
    assert report["rejected"][1]["value"] == "06/31/2029"


def test_a_second_run_changes_nothing(run: Run, db: psycopg.Connection) -> None:
    hours = ("import", "hours", EXAMPLES / "salon-hours.csv", "--map", MAP, "--json")
    bookings = ("import", "appointments", EXAMPLES / "salon-bookings.csv", "--map", MAP, "--json")
    run(*hours)
    run(*bookings)
    before = everything(db)
    again = run(*hours)
    assert (again.code, again.json["loaded"], again.json["already_there"]) == (0, 0, 6)
    again = run(*bookings)
    assert (again.json["loaded"], again.json["already_there"]) == (0, 7)
    assert [each["line"] for each in again.json["rejected"]] == [8, 9]
    assert everything(db) == before


def test_imported_calendars_are_published_and_exact(run: Run) -> None:
    now = ("--now", "2029-06-01T08:00")
    run("import", "hours", EXAMPLES / "salon-hours.csv", "--map", MAP, *now)
    run("import", "appointments", EXAMPLES / "salon-bookings.csv", "--map", MAP, *now)
    verified = run("verify", "--independent", "--json", *now)
    assert verified.code == 0
    assert verified.json["tenants"][0]["slots"] > 1000


def test_rejected_rows_can_be_mended_and_loaded_from_their_own_file(
    run: Run, tmp_path: Path
) -> None:
    run("import", "hours", EXAMPLES / "salon-hours.csv", "--map", MAP)
    rejects = tmp_path / "rejects.csv"
    bookings = ("import", "appointments", EXAMPLES / "salon-bookings.csv", "--map", MAP)
    assert run(*bookings, "--rejects", rejects).code == 1
    rows = list(csv.DictReader(rejects.open()))
    assert [(row["line"], row["Code"], row["reason"]) for row in rows] == [
        ("8", "CLI07", "overlaps line 7"),
        ("9", "CLI08", "is not a date in the format %m/%d/%Y"),
    ]
    mended = rejects.read_text().replace("8:30:00", "7:30:00").replace("06/31", "06/30")
    rejects.write_text(mended)
    assert run("import", "appointments", rejects, "--map", MAP, "--json").json["loaded"] == 2


def test_people_read_each_rejected_row_and_the_sum(run: Run) -> None:
    answer = run("import", "appointments", EXAMPLES / "salon-bookings.csv", "--map", MAP)
    assert "line 8: rejected: start 'CLI07 BEN SHCM 06/09/2029 8:30:00 AM': overlaps line 7" in (
        answer.out
    )
    assert "9 rows, 7 loaded, 0 there already, 2 rejected." in answer.out


# Rows that cannot be loaded


def test_every_bad_row_is_listed_with_line_field_value_and_reason(
    run: Run, write: Write, tenant: str
) -> None:
    file = write(
        "appointments.csv",
        "staff,service,start,duration_minutes,status,external_id\n"
        "Ada,cut,2026-03-03T10:00,30,,a1\n"
        "Ada,cut,yesterday,30,,a2\n"
        "Eve,cut,2026-03-03T11:00,30,,a3\n"
        "Ada,shave,2026-03-03T11:00,30,,a4\n"
        ",cut,2026-03-03T11:00,30,,a5\n"
        "Ada,cut,2026-03-03T11:00,soon,,a6\n"
        "Ada,cut,2026-03-03T11:00,30,,a1\n"
        "Ada,cut,2026-03-03T11:00\n"
        "\n"
        "Ada,cut,2026-03-03T12:00,-30,,a7\n"
        "Ada,cut,2026-03-03T13:00,30,perhaps,a8\n"
        'Ada,cut,"2026-03-03T14:00",30,,a9\n',
    )
    answer = run("import", "appointments", file, "--tenant", tenant, "--now", SALON_NOW, "--json")
    assert answer.code == 1
    assert answer.json["loaded"] == 2
    assert [
        (each["line"], each["field"], each["value"], each["reason"])
        for each in answer.json["rejected"]
    ] == [
        (3, "start", "yesterday", "is not a time like 2025-01-31T14:30"),
        (4, "staff", "Eve", "there is none"),
        (5, "service", "shave", "there is none"),
        (6, "staff", "", "is empty"),
        (7, "duration_minutes", "soon", "is not a whole number"),
        (8, "external_id", "a1", "stands on line 2, too"),
        (9, "row", "Ada,cut,2026-03-03T11:00", "3 cells, though the header has 6"),
        (
            11,
            "row",
            "Ada cut 2026-03-03T12:00 -30 a7",
            "appointments keeps a rule: end time is after start time.",
        ),
        (
            12,
            "row",
            "Ada cut 2026-03-03T13:00 30 perhaps a8",
            "appointments keeps a rule: status is known.",
        ),
    ]


def test_an_overlap_with_an_appointment_that_was_there_says_when_it_is(
    run: Run, write: Write, salon: Salon
) -> None:
    salon.appointment()  # 3 March, 10:00 to 10:30
    file = write("appointments.csv", "staff,service,start\nAda,cut,2026-03-03T10:15\n")
    answer = run("import", "appointments", file, "--tenant", salon.tenant, "--json")
    (rejected,) = answer.json["rejected"]
    assert rejected["reason"] == (
        "overlaps an appointment from 2026-03-03 10:00 to 2026-03-03 10:30 (Europe/Berlin) that is "
        "not of this file"
    )


def test_a_cancelled_row_overlaps_nobody(run: Run, write: Write, tenant: str) -> None:
    file = write(
        "appointments.csv",
        "staff,service,start,status\n"
        "Ada,cut,2026-03-03T10:00,cancelled\n"
        "Ada,cut,2026-03-03T10:15,confirmed\n",
    )
    assert run("import", "appointments", file, "--tenant", tenant).code == 0


def test_of_two_rows_that_overlap_the_earlier_start_wins_wherever_it_stands(
    run: Run, write: Write, tenant: str
) -> None:
    file = write(
        "appointments.csv",
        "staff,service,start\nAda,cut,2026-03-03T10:15\nAda,cut,2026-03-03T10:00\n",
    )
    (rejected,) = run("import", "appointments", file, "--tenant", tenant, "--json").json["rejected"]
    assert (rejected["line"], rejected["reason"]) == (2, "overlaps line 3")


def test_a_class_is_filled_seat_by_seat_and_no_further(
    run: Run, write: Write, salon: Salon
) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    rows = "".join(f"Ada,course,2026-03-03T10:00,guest {n}\n" for n in range(3))
    file = write("appointments.csv", f"staff,service,start,customer\n{rows}")
    report = run(
        "import", "appointments", file, "--tenant", salon.tenant, "--now", SALON_NOW, "--json"
    ).json
    assert report["loaded"] == 2
    (rejected,) = report["rejected"]
    assert (rejected["line"], rejected["reason"]) == (4, "all 2 seats of this slot are taken")
    assert salon.differences() == []


def test_weekly_hours_that_cannot_be_are_listed(run: Run, write: Write, tenant: str) -> None:
    file = write(
        "hours.csv",
        "staff,weekday,start_time,end_time,valid_from,valid_until\n"
        "Ada,Sat,09:00,24:00,,\n"
        "Ada,9,09:00,17:00,,\n"
        "Ada,2,nine,17:00,,\n"
        "Ada,2,09:00:30,17:00,,\n"
        "Ada,2,09:00,17:00,2026-05-01,2026-04-01\n"
        "Ada,2,09:00,17:00,01.05.2026,\n",
    )
    answer = run("import", "hours", file, "--tenant", tenant, "--json")
    assert answer.json["loaded"] == 1
    assert [(each["line"], each["reason"]) for each in answer.json["rejected"]] == [
        (3, "is not 1 (Monday) to 7 (Sunday)"),
        (4, "is not a time of day like 14:30"),
        (5, "working_hours keeps a rule: hours are whole minutes."),
        (6, "working_hours keeps a rule: valid until is not before valid from."),
        (7, "is not a date like 2025-01-31"),
    ]


# Time


def test_a_local_time_that_clock_changes_make_odd_is_the_later_instant_and_noted(
    run: Run, write: Write, salon: Salon
) -> None:
    file = write(
        "appointments.csv",
        "staff,service,start\n"
        "Ada,cut,2026-03-29T02:30\n"  # skipped in Berlin
        "Ada,cut,2026-10-25T02:30\n"  # comes twice
        "Ada,cut,2026-10-25T02:30+02:00\n",  # the first of them, and no doubt about it
    )
    report = run("import", "appointments", file, "--tenant", salon.tenant, "--json").json
    assert report["loaded"] == 3
    assert [(each["line"], each["text"]) for each in report["notes"]] == [
        (
            2,
            "start 2026-03-29T02:30:00 does not exist in Europe/Berlin, where clocks change; taken "
            "as 2026-03-29 01:30 UTC",
        ),
        (
            3,
            "start 2026-10-25T02:30:00 comes twice in Europe/Berlin, where clocks change; taken as "
            "2026-10-25 01:30 UTC",
        ),
    ]
    starts = salon.db.execute("select start_time from booking.appointments order by 1").fetchall()
    assert [start for (start,) in starts] == [
        datetime.fromisoformat(text)
        for text in ("2026-03-29T01:30Z", "2026-10-25T00:30Z", "2026-10-25T01:30Z")
    ]


def test_busy_times_may_be_in_a_zone_of_their_own_and_overlap(
    run: Run, write: Write, salon: Salon
) -> None:
    mapping = write("map.toml", 'source = "feed"\n[busy_times]\ntime_zone = "UTC"\n')
    file = write(
        "busy.csv",
        "staff,start,end\n"
        "Ada,2026-03-03T09:00,2026-03-03T09:30\n"
        "Ada,2026-03-03T09:00,2026-03-03T09:30\n",
    )
    command = ("import", "busy-times", file, "--map", mapping, "--tenant", salon.tenant)
    assert run(*command, "--now", SALON_NOW, "--json").json["loaded"] == 2
    assert not salon.available(salon.cut)
    assert salon.differences() == []
    again = run(*command, "--now", SALON_NOW, "--json").json
    assert (again["loaded"], again["already_there"]) == (0, 2)


# People and services


def test_people_come_with_what_they_offer(run: Run, write: Write, salon: Salon) -> None:
    file = write(
        "staff.csv",
        "name,services,external_id\nBo,cut; course,7\nAda,cut,\nCy,shave,8\n",
    )
    report = run("import", "staff", file, "--tenant", salon.tenant, "--json").json
    assert (report["loaded"], report["already_there"]) == (1, 1)
    (rejected,) = report["rejected"]
    assert (rejected["field"], rejected["value"]) == ("service", "shave")
    offered = salon.db.execute(
        "select t.code from booking.staff_appointment_types o"
        " join booking.appointment_types t on t.id = o.appointment_type_id"
        " join booking.staff s on s.id = o.staff_id where s.external_id = '7' order by 1"
    ).fetchall()
    assert offered == [("course",), ("cut",)]


def test_a_name_that_two_people_have_needs_external_ids(
    run: Run, write: Write, salon: Salon
) -> None:
    salon.add_person("Ada")
    file = write("busy.csv", "staff,start,end\nAda,2026-03-03T09:00,2026-03-03T09:30\n")
    (rejected,) = run("import", "busy-times", file, "--tenant", salon.tenant, "--json").json[
        "rejected"
    ]
    assert rejected["reason"] == "2 have this name: use external ids"


def test_what_is_missing_is_made_only_where_the_mapping_says_so_and_a_duration_is_known(
    run: Run, write: Write, salon: Salon
) -> None:
    mapping = write("map.toml", "create_missing = true\n[durations]\nshave = 20\n")
    file = write(
        "appointments.csv",
        "staff,service,start\nEve,shave,2026-03-03T10:00\nEve,dye,2026-03-03T11:00\n",
    )
    report = run(
        "import", "appointments", file, "--map", mapping, "--tenant", salon.tenant, "--json"
    ).json
    assert report["created"] == {"staff": ["Eve"], "service": ["shave"]}
    (rejected,) = report["rejected"]
    assert rejected["reason"] == "there is none, and no duration to make it with"


def test_a_place_must_be_named_where_there_are_several(
    run: Run, write: Write, salon: Salon
) -> None:
    salon.insert("locations", name="Nord")
    file = write("appointments.csv", "staff,service,start\nAda,cut,2026-03-03T10:00\n")
    command = ("import", "appointments", file, "--tenant", salon.tenant)
    (rejected,) = run(*command, "--json").json["rejected"]
    assert rejected["field"] == "location"
    named = write("map.toml", '[location]\nname = "Nord"\n')
    assert run(*command, "--map", named).code == 0
    wrong = write("wrong.toml", '[location]\nname = "West"\n')
    answer = run(*command, "--map", wrong)
    assert (answer.code, "'West': there is none" in answer.err) == (2, True)


# Files, mappings and names that cannot be used at all


def test_an_unknown_tenant_is_exit_code_2(run: Run, write: Write) -> None:
    answer = run("import", "staff", write("s.csv", "name\nAda\n"), "--tenant", "nobody")
    assert answer.code == 2
    assert "no tenant 'nobody'" in answer.err


def test_a_file_of_nobody_is_exit_code_2(run: Run, write: Write) -> None:
    answer = run("import", "staff", write("s.csv", "name\nAda\n"))
    assert answer.code == 2
    assert "--tenant" in answer.err


def test_an_unknown_kind_is_exit_code_2(run: Run, write: Write) -> None:
    answer = run("import", "invoices", write("s.csv", "name\nAda\n"))
    assert answer.code == 2
    assert "'invoices' is none of staff, hours, busy-times" in answer.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("name,name\nAda,Ada\n", "two columns called 'name'"),
        ("who\nAda\n", "has no column for name"),
        ('name\n"Ada\n', "is not CSV: line 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_exit_code_2_and_nothing_is_loaded(
    run: Run, write: Write, salon: Salon, text: str, complaint: str
) -> None:
    answer = run("import", "staff", write("staff.csv", text), "--tenant", salon.tenant)
    assert answer.code == 2
    assert complaint in answer.err
    assert "staff.csv" in answer.err


def test_a_file_in_another_encoding_says_which_byte_and_what_to_do(
    run: Run, tmp_path: Path, write: Write, salon: Salon
) -> None:
    file = tmp_path / "staff.csv"
    file.write_bytes("name\nJürgen\n".encode("cp1252"))
    answer = run("import", "staff", file, "--tenant", salon.tenant)
    assert answer.code == 2
    assert "is not utf-8-sig: byte 6" in answer.err
    mapping = write("map.toml", '[file]\nencoding = "cp1252"\n')
    assert run("import", "staff", file, "--map", mapping, "--tenant", salon.tenant).code == 0


def test_a_file_that_is_not_there_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    answer = run("import", "staff", tmp_path / "none.csv", "--tenant", "salon")
    assert answer.code == 2
    assert "none.csv cannot be read: No such file" in answer.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source = ", "is not TOML"),
        ("sauce = 'till'", "sauce is not known"),
        ("create_missing = 'yes'", "create_missing is 'yes', and true or false was expected"),
        ("[durations]\ncut = '30'", "durations.cut is '30', and a whole number was expected"),
        ("[durations]\ncut = true", "durations.cut is True, and a whole number was expected"),
        ("[staff.columns]\nnam = 'Name'", "staff.columns.nam is not known"),
        ("[staff.columns]\nname = 'Full name'", "no column 'Full name', in which the mapping"),
        ("[staff]\ntime_zone = 'Mars/Phobos'", "'Mars/Phobos' is not a name of the IANA"),
        ("[file]\ndelimiter = ';;'", "';;' is not one character"),
        ("[file]\nencoding = 'klingon'", "no encoding 'klingon'"),
        ("[staff]\ncolumns = 3", "staff.columns is 3, and a table was expected"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_exit_code_2_and_says_where(
    run: Run, write: Write, salon: Salon, text: str, complaint: str
) -> None:
    mapping = write("map.toml", text)
    file = write("staff.csv", "name\nEve\n")
    answer = run("import", "staff", file, "--map", mapping, "--tenant", salon.tenant)
    assert answer.code == 2
    assert complaint in " ".join(answer.err.split())
    assert salon.db.execute("select from booking.staff").rowcount == 1


def test_a_tenant_in_an_unknown_zone_is_not_made(
    run: Run, write: Write, db: psycopg.Connection
) -> None:
    mapping = write(
        "map.toml",
        'create_missing = true\n[tenant]\nslug = "moon"\nname = "Moon"\ntime_zone = "Moon/Sea"\n',
    )
    answer = run("import", "staff", write("staff.csv", "name\nEve\n"), "--map", mapping)
    assert answer.code == 1
    assert "timezone is an iana name" in answer.err
    assert db.execute("select from booking.tenants").rowcount == 0


# Stopping


def test_an_interrupted_import_is_finished_by_the_next_one(
    run: Run, interrupted_when_blocked: Run, write: Write, salon: Salon
) -> None:
    """The calendar of the later person is locked, so that the import stops half way."""
    people = sorted([salon.person, salon.add_person("Bo")])
    rows = [f"{person},2026-03-03T{hour:02}:00,60" for person in people for hour in range(8, 20)]
    salon.db.execute("update booking.staff set external_id = id::text")
    file = write("busy.csv", "\n".join(["staff,start,duration_minutes", *rows]))
    command = ("import", "busy-times", file, "--tenant", salon.tenant)
    locking = "select booking.lock_calendars(%s, array[%s]::uuid[])"
    with psycopg.connect(salon.db.info.dsn) as other:
        other.execute(locking, [salon.tenant, people[1]])
        stopped = interrupted_when_blocked(*command)
    assert stopped.code == 1
    assert "run the same command again" in stopped.out
    report = run(*command, "--json").json
    assert report["loaded"] + report["already_there"] == 24
    assert salon.db.execute("select from booking.busy_times").rowcount == 24


def everything(db: psycopg.Connection) -> list[Any]:
    """Every row of every table that an import may write."""
    tables = (
        "tenants",
        "locations",
        "staff",
        "appointment_types",
        "staff_appointment_types",
        "working_hours",
        "appointments",
        "availability_slots",
        "calendars",
    )
    return [
        db.execute(f"select t.* from booking.{table} t order by t::text".encode()).fetchall()
        for table in tables
    ]
