"""doctor on databases of other versions and with few rights, and how it reports."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgbooking import app, doctor, migrate
from pgbooking.doctor_finding import Finding
from tests.postgres import Server


def findings(database_url: str) -> list[Finding]:
    """What doctor finds, but for what is as it should be and what the tests' servers lack."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        report = doctor.examine(connection, database_url)
    left_out = {"server_settings", "timeouts", "roles"}
    return [f for f in report.findings if f.level != "ok" and f.check not in left_out]


def run(
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
) -> tuple[int, str, str]:
    """Exit code, output and errors of the command."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with pytest.raises(SystemExit) as stop:
        app.main(["doctor", *arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code, *capsys.readouterr()


def test_without_pgbooking_there_is_one_failure(
    empty_database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(empty_database_url, capsys, monkeypatch, "--json")
    assert code == 1
    assert json.loads(out) == {
        "findings": [
            {
                "check": "migrations",
                "level": "failure",
                "message": "pgbooking is not installed in this database.",
                "advice": "pgbooking migrate",
            }
        ]
    }


def test_at_an_older_release_the_rest_is_still_checked(empty_database_url: str) -> None:
    for _ in migrate.apply(empty_database_url, to="0.1.0"):
        pass
    found = findings(empty_database_url)
    assert [(each.check, each.level, each.message[:11]) for each in found] == [
        ("migrations", "failure", "Pending: 00"),
        ("tables", "warning", "Not checked"),
        ("jobs", "warning", "Not checked"),
        ("pg_cron", "warning", "Not checked"),
        ("analytics", "warning", "Not checked"),
        ("retention", "warning", "Not checked"),
    ]
    assert found[0].advice == "pgbooking migrate"
    with psycopg.connect(empty_database_url, autocommit=True) as db:
        db.execute("alter table booking.staff disable trigger user")
    assert "triggers" in {each.check for each in findings(empty_database_url)}


def test_what_a_newer_version_has_made_is_not_called_drift(
    db: psycopg.Connection, database_url: str
) -> None:
    db.execute("insert into booking_migrations._yoyo_migration values ('hash', '9999.next', now())")
    db.execute("alter table booking.staff add column phone text")
    found = findings(database_url)
    assert {each.check for each in found if each.level == "failure"} == {"migrations"}
    assert found[0].message == "9999.next was applied by a newer version of pgbooking."


def test_a_missing_table_is_one_finding(db: psycopg.Connection, database_url: str) -> None:
    db.execute("drop table booking.verification_differences")
    found = [each for each in findings(database_url) if each.check != "jobs"]
    assert [(each.check, each.message) for each in found] == [
        ("tables", "The table booking.verification_differences is missing.")
    ]


def test_a_query_that_fails_is_told_and_the_others_are_asked(
    db: psycopg.Connection, database_url: str
) -> None:
    db.execute("drop table booking.refresh_queue")
    checks = {each.check: each for each in findings(database_url)}
    assert checks["tables"].level == "failure"
    assert checks["queue"].message.startswith("Not checked (queue): relation")
    assert "events" not in checks


def test_a_role_without_rights_is_told_what_it_may_not_see(
    db: psycopg.Connection, database_url: str
) -> None:
    db.execute("create role stranger login")
    try:
        found = findings(make_conninfo(database_url, user="stranger"))
    finally:
        db.execute("drop role stranger")
    assert {each.level for each in found} == {"warning"}
    not_checked = [each for each in found if each.message.startswith("Not checked")]
    assert [each.check for each in not_checked] == [
        "migrations",
        "settings",
        "jobs",
        "queue",
        "analytics",
        "calendars",
        "holds",
        "retention",
    ]
    assert {each.advice for each in not_checked} == {
        "Ask as the role that migrated this database, or as a superuser."
    }


def test_a_server_that_does_not_keep_what_it_acknowledges_is_a_failure(
    server: Server, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        report = doctor.examine(connection, database_url)
    if server.kind == "url":
        pytest.skip("needs a server whose settings it knows")
    found = {
        each.message.split()[0]: each
        for each in report.findings
        if each.check == "server_settings" and each.level == "failure"
    }
    assert set(found) == {"fsync", "full_page_writes", "synchronous_commit"}
    assert found["fsync"].advice in {
        "Start the server without -c fsync=off.",
        "alter system set fsync = 'on'; select pg_reload_conf();",
    }


def test_people_read_what_is_wrong_first(
    db: psycopg.Connection,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    db.execute("alter table booking.tenants disable row level security")
    db.execute("alter table booking.staff disable trigger user")
    code, out, _ = run(database_url, capsys, monkeypatch)
    lines = out.splitlines()
    assert code == 1
    marks = [line[0] for line in lines[:-1] if line[0] != " "]
    assert marks == sorted(marks, key="✗!✓".index)
    assert set(marks) == {"✗", "!", "✓"}
    at = next(n for n, line in enumerate(lines) if line.startswith("✗ row level security"))
    assert lines[at].endswith("Row-level security of booking.tenants is not as released: on.")
    assert lines[at + 1].strip().startswith("alter table booking.tenants enable row level security")
    # Five of the many triggers, and how many more there are.
    assert sum(line.startswith("✗ triggers") for line in lines) == doctor.SHOWN_FINDINGS
    assert any("more triggers: --json" in line for line in lines)
    counts = {"failure": marks.count("✗"), "warning": marks.count("!"), "ok": marks.count("✓")}
    _, listed, _ = run(database_url, capsys, monkeypatch, "--json")
    levels: list[Any] = [each["level"] for each in json.loads(listed)["findings"]]
    assert levels.count("failure") > counts["failure"]
    assert levels.count("ok") == counts["ok"]
    assert lines[-1] == (
        f"{levels.count('failure')} failures, {levels.count('warning')} warnings, "
        f"{counts['ok']} ok."
    )


def test_no_connection_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, error = run("postgresql://127.0.0.1:1/none", capsys, monkeypatch)
    assert (code, out) == (3, "")
    assert "Could not connect" in error


def test_it_writes_nothing(db: psycopg.Connection, database_url: str) -> None:
    # A statement that would write is an error then.
    db.execute(f"alter database {db.info.dbname} set default_transaction_read_only = on".encode())
    found = findings(database_url)
    assert [each.check for each in found if each.level == "failure"] == ["role_settings"]
